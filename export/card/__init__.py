"""The model card beside an exported file: what it is, what it learnt from, how good it is, and what it is not for."""

from export.card.card import Card, FileFacts, card_path, write_card
