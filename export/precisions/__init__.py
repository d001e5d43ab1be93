"""The exported file in half precision and in integers, measured against float32."""
