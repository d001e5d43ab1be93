import pytest
import torch
from standins import SIZE, make_frame, make_generator
from torchvision.transforms.v2.functional import normalize

from export.graph.deployable import Deployable


@pytest.fixture
def image() -> torch.Tensor:
    return torch.from_numpy(make_frame(3)[None])


def test_equals_the_generator_on_the_normalised_image(image: torch.Tensor) -> None:
    generator = make_generator()
    planes = image.permute(0, 3, 1, 2) / 255
    maps = generator(normalize(planes, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    outputs = Deployable(generator)(image)
    assert outputs["classes"].dtype == torch.uint8
    assert outputs["depth_m"].dtype == torch.float32
    assert outputs["classes"].shape == outputs["depth_m"].shape == (1, SIZE[1], SIZE[0])
    assert len(outputs["classes"].unique()) > 1, "a constant map would agree by chance"
    assert (outputs["classes"] == maps["segmentation"].argmax(1)).float().mean() > 0.9995
    torch.testing.assert_close(outputs["depth_m"], maps["depth"][:, 0], rtol=1e-5, atol=0)


def test_channel_order_is_rgb(image: torch.Tensor) -> None:
    model = Deployable(make_generator())
    assert not torch.equal(model(image)["depth_m"], model(image.flip(-1))["depth_m"])


@pytest.mark.parametrize(
    ("task", "output"), [("segmentation", "classes"), ("depth", "depth_m"), ("instance", "offsets_px")]
)
def test_a_single_task_gives_only_its_output(image: torch.Tensor, task: str, output: str) -> None:
    assert list(Deployable(make_generator(task))(image)) == [output]


def test_adds_nothing_to_the_weights() -> None:
    generator = make_generator()
    assert {f"generator.{name}" for name in generator.state_dict()} == set(Deployable(generator).state_dict())
