"""Domain discriminators, after SemiMTL (Wang et al. 2022; Fontana et al. 2024, Eq. 40).

Per task a patch discriminator is a classifier over truth of the labelled frames (A), prediction on them, and prediction
on the unlabelled ones (B). The generator's loss is low where B's predictions are classified as truth of A. With
`transform` they are those of transformed frames, as in S4MTL (Imran et al. 2020; Fontana et al. 2024, Eq. 39, Fig. 13).

**Holes give nothing away.** Void pixels and pixels without valid depth are zeroed in truth and prediction alike, so an
unlabelled frame, which has none, would be recognised by its complete map. It gets the holes of a labelled frame, drawn
from the last few of the run. How holes relate to their surroundings (a sky without depth) can still give it away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.config import Config, DomainAdversaryConfig, Plan
from advmtl.networks import PatchDiscriminator, discriminator_input, input_channels
from advmtl.tasks import index_on, send, shrink, shrink_mask, to_device
from advmtl.terms.domains import LABELLED, TRUTH, UNLABELLED, Domains, domains_of, transformed_outputs
from advmtl.terms.term import Logs, StepContext, Term, named

_REMEMBERED = 8  # labelled frames whose holes are lent to unlabelled ones
_DRAWS = 0  # beside the other draws of a step
# Target class of an unlabelled prediction in the generator's loss: truth or prediction of labelled frames (Eq. 40 and
# the list after it). "The intersection of both" is read as the target halfway.
_TARGETS = {"truth": (1.0, 0.0), "prediction": (0.0, 1.0), "both": (0.5, 0.5)}


@dataclass(frozen=True)
class _View:
    """The input of one task's discriminator in a step.

    Attributes:
        domains: of the frames.
        masks: the pixels of this process's frames that are not zeroed, bool [N,1,H,W].
        output: the task's map of them, with graph, those of unlabelled ones transformed; None: the step's own.
    """

    domains: Domains
    masks: Tensor
    output: Tensor | None = None


class DomainAdversary(Term):
    """A discriminator per task; its own state are the holes of labelled frames, and how many of these it has seen."""

    start_key = "partial.adversary.start_step"

    def __init__(self, config: Config, settings: DomainAdversaryConfig) -> None:
        super().__init__()
        self.settings, self.start_step = settings, settings.start_step
        self.tasks = settings.judged(config.tasks, config.task_table)
        own = max(1, len(config.data.train)) if settings.domains == "sources" else 1
        self.discriminators = nn.ModuleDict(
            {
                task: PatchDiscriminator(
                    input_channels([task], config.spec, config.task_table),
                    channels=settings.channels,
                    layers=settings.layers,
                    spectral=True,
                    out_channels=UNLABELLED + own,
                )
                for task in self.tasks
            }
        )
        width, height = config.data.crop or config.data.size
        for task in self.tasks:
            self.register_buffer(f"holes_{task}", torch.ones(_REMEMBERED, 1, height, width, dtype=torch.bool))
        self.seen = dict.fromkeys(self.tasks, 0)

    def foresee(self, plan: Plan) -> str | None:
        """A start after the last step, or frames that all have every label that is judged."""
        late = super().foresee(plan)
        if late is not None:
            return late
        if self.settings.labelled_weight > 0 or any(plan.lacking(task) for task in self.tasks):
            return None
        return (
            f"every training frame has {' and '.join(self.tasks)}, so the generator hears nothing of it; leave "
            "partial.adversary out, or add frames without labels (data.label_budget hides some)"
        )

    def get_extra_state(self) -> dict[str, Any]:
        """How many labelled frames there have been."""
        return {"seen": dict(self.seen)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.seen = dict(state["seen"])

    def learn(self, step: StepContext) -> tuple[Tensor | None, Logs]:
        """Cross entropy of the discriminators, each domain with the same weight whatever its number of frames.

        A discriminator is not updated where no frame has its task's label: from one domain alone it would learn how
        often that happens.
        """
        losses, logs = [], Logs()
        for task, view in self._look(step).items():
            if LABELLED in view.domains.everywhere:
                loss, found = self._cross_entropy(task, view, step)
                losses.append(loss)
                logs |= {f"{task}/{key}": value for key, value in found.items()}
        return (torch.stack(losses).sum() if losses else None), logs

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """Eq. 40 for the unlabelled frames of each task, and the other configured terms."""
        views, added, logs = self._look(step), dict[str, Tensor](), Logs()
        for task in step.config.tasks:
            if task not in views:
                continue
            found = self._adversarial(task, views[task], step)
            if self.settings.agreement > 0 and views[task].domains.weight(labelled=False):
                found["agreement"] = _agreement(task, views[task], step)
            weights = {
                "inter": self.settings.weight,
                "intra": self.settings.weight * self.settings.labelled_weight,
                "agreement": self.settings.agreement,
            }
            if found:
                added[task] = torch.stack([weights[key] * value for key, value in found.items()]).sum()
            logs |= {f"{task}/{key}": value for key, value in found.items()}
        return added, named("partial/adversary", added, logs)

    def _look(self, step: StepContext) -> dict[str, _View]:
        """The discriminators' input; also stores the labelled frames' holes, once per step."""
        return step.once((self, "shown"), lambda: self._views(step))

    def _views(self, step: StepContext) -> dict[str, _View]:
        domains = {task: domains_of(step, task, self.settings.domains) for task in self.tasks}
        turned: Mapping[str, Tensor] = {}
        if self.settings.transform != "none" and any(one.weight(labelled=False) for one in domains.values()):
            turned = transformed_outputs(step, self.settings.transform)
        views = {}
        for task, found in domains.items():
            output = None
            if turned:
                output = step.outputs[task]
                other = send(torch.tensor([one >= UNLABELLED for one in found.own]), output)
                output = torch.where(other[:, None, None, None], turned[task], output)
            self._remember(task, found, step)
            views[task] = _View(found, self._masks(task, found, step), output)
        return views

    def _maps(self, task: str, view: _View, step: StepContext) -> Tensor:
        """All frames' predictions as the discriminator sees them [N,C,h,w], masked, with graph; once per step.

        The step's own are what the heads give at that size: whole maps, which nobody else may need, cost more than the
        discriminator does.
        """

        def make() -> Tensor:
            if view.output is not None:
                return shrink(step.encode_prediction(task, view.output), self.settings.scale, view.masks)
            return step.encode_prediction_at(task, self.settings.scale) * shrink_mask(view.masks, self.settings.scale)

        return step.once((self, "maps", task), make)

    def _remember(self, task: str, domains: Domains, step: StepContext) -> None:
        """Keep the masks of the step's labelled frames, of all processes in their order, in place of the oldest."""
        everywhere = domains.everywhere
        places = [place for place, one in enumerate(everywhere) if one == LABELLED][-_REMEMBERED:]
        if not places:
            return
        masks = step.masks[task]
        if step.processes.count > 1:
            whole = masks.new_zeros((len(everywhere), *masks.shape[1:]), dtype=torch.uint8)
            whole[domains.first : domains.first + domains.frames] = masks
            masks = step.processes.total(whole).bool()
        slots = [(self.seen[task] + index) % _REMEMBERED for index in range(len(places))]
        holes = self._holes(task)
        holes[index_on(slots, masks)] = _of_size(masks[index_on(places, masks)], holes)
        self.seen[task] += len(places)

    def _masks(self, task: str, domains: Domains, step: StepContext) -> Tensor:
        """A labelled frame's own mask, an unlabelled one's of any labelled frame remembered, bool [N,1,H,W]."""
        known = min(self.seen[task], _REMEMBERED)
        if not known or not domains.unlabelled:
            return step.masks[task]
        # Drawn for the frames of all processes, so that a frame's partner does not depend on how many there are.
        draws = np.random.default_rng([step.config.seed, step.number, _DRAWS, self.tasks.index(task)])
        partners = draws.integers(known, size=len(domains.everywhere))[domains.first :]
        masks = step.masks[task].clone()
        holes = self._holes(task)[index_on(partners[domains.unlabelled].tolist(), masks)]
        masks[index_on(domains.unlabelled, masks)] = _of_size(holes, masks)
        return masks

    def _holes(self, task: str) -> Tensor:
        return self.get_buffer(f"holes_{task}")

    def _cross_entropy(self, task: str, view: _View, step: StepContext) -> tuple[Tensor, Logs]:
        """One discriminator's loss, its accuracy by patch and its log probability by frame, per domain."""
        own, labelled = view.domains.own, view.domains.labelled
        maps, kinds = self._maps(task, view, step).detach(), [domain or UNLABELLED for domain in own]
        if labelled:
            chosen, scale = index_on(labelled, maps), self.settings.scale
            target = step.batch.targets[task][chosen]
            truth = step.encode_label(task, target, self.settings.label_smoothing, scale)
            maps = torch.cat([truth * shrink_mask(view.masks[chosen], scale), maps])
            kinds = [TRUTH] * len(labelled) + kinds
        scores = step.scores(self.discriminators[task], discriminator_input({task: maps}, [task], None))
        sure, right = _said(scores, index_on(kinds, scores))
        counts = view.domains.counts()
        readable = [True] * len(labelled) + [domain > 0 for domain in own]
        logs: Logs = {}
        losses = []
        for kind, total in counts.items():
            # A mean over the frames of all processes; 0 with a graph where this one has none.
            share = [step.processes.count / total * (k == kind and r) for k, r in zip(kinds, readable, strict=True)]
            weights = to_device(share, sure)
            losses.append(-(weights * sure).sum())
            name = _name(kind, self.settings)
            logs |= {f"accuracy_{name}": (weights * right).sum(), f"log_probability_{name}": -losses[-1]}
        return torch.stack(losses).mean(), logs

    def _adversarial(self, task: str, view: _View, step: StepContext) -> Logs:
        """Eq. 40, L_inter, and the same of labelled predictions, L_intra, with graph; empty where there are none.

        Also empty until there has been a labelled frame: the discriminator is untrained until then.
        """
        domains, settings = view.domains, self.settings
        inter = domains.weight(labelled=False)
        intra = domains.weight(labelled=True) if settings.labelled_weight > 0 else 0.0
        if not self.seen[task] or not (inter or intra):
            return {}
        # What is not chosen has no part in the graph: labelled predictions are not pushed unless asked for.
        others, labelled = domains.unlabelled if inter else [], domains.labelled if intra else []
        # Where only other processes have some, all must do the same.
        shown = self._maps(task, view, step)
        shown = shown[index_on(others + labelled or [0], shown)]
        maps = discriminator_input({task: shown}, [task], None)
        scores = step.scores(self.discriminators[task], maps)
        said = F.log_softmax(scores, 1).mean((2, 3))[:, : LABELLED + 1]
        terms: Logs = {}
        if inter:
            terms["inter"] = -inter * (said[: len(others)] * to_device(_TARGETS[settings.align], said)).sum()
        if intra:
            terms["intra"] = -intra * said[len(others) :][: len(labelled), TRUTH].sum()
        return terms


def _of_size(masks: Tensor, like: Tensor) -> Tensor:
    """Masks [N,1,H,W] by nearest at another's height and width: holes of half-size pictures serve full ones, too."""
    size = like.shape[-2:]
    return masks if masks.shape[-2:] == size else F.interpolate(masks.float(), size, mode="nearest").bool()


def _said(scores: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Per map [N], from scores [N,C,h,w] and true classes [N]: mean log probability of its class, with graph, and the
    share of patches whose largest score is that of its class.
    """
    log_probabilities = F.log_softmax(scores, 1).mean((2, 3))
    sure = log_probabilities.gather(1, kinds[:, None]).squeeze(1)
    right = (scores.detach().argmax(1) == kinds[:, None, None]).to(sure.dtype).mean((1, 2))
    return sure, right


def _agreement(task: str, view: _View, step: StepContext) -> Tensor:
    """Squared difference of an unlabelled frame's transformed prediction from its plain one, which is detached.

    Summed over channels, means over pixels and frames; every pixel counts, since no label is needed.
    """
    with torch.no_grad():
        plain = step.encode_prediction(task, step.outputs[task])
    assert view.output is not None  # agreement needs a transform
    predicted = step.encode_prediction(task, view.output)
    weight = view.domains.weight(labelled=False)
    weights = to_device([weight * (domain >= UNLABELLED) for domain in view.domains.own], plain)
    return (weights * (predicted - plain).square().sum(1).mean((1, 2))).sum()


def _name(kind: int, settings: DomainAdversaryConfig) -> str:
    if kind == TRUTH:
        return "truth"
    if kind == LABELLED:
        return "labelled"
    return f"unlabelled_{kind - UNLABELLED}" if settings.domains == "sources" else "unlabelled"
