"""How members are trained, as a recipe says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .losses import LossName

Strategy = Literal["scratch", "baseline", "swag"]
"""scratch = every member its own initial weights; baseline = all start from one trained network;
swag = members are drawn around one trained network's average (Maddox 2019)."""


class TrainingSettings(BaseModel):
    """How the members of an ensemble are trained.

    members : number of networks
    strategy : where a member's weights start
    steps, batch : gradient steps at most, and images per step
    rate, weight_decay : AdamW's settings
    schedule : `one-cycle` warms up and dies away before the averaging, `constant` does neither (the paper)
    loss, class_weights : see `losses`; weights of the channels, background last; a channel of weight 0 is not learned; None weighs
        all alike, and in a refinement rare classes more
    softness : width of a disc's edge in the target, relative to its radius
    swa_share : last share of the steps whose weights are averaged, at constant rate `swa_rate`; 0 for none (Izmailov 2018)
    swa_every : steps between the weights that are averaged
    norm_batches : batches over which the norms' statistics are taken anew after averaging
    patience : stop a member's search, and go on to the averaging, after so many validations without a better loss; 0 for never
    validate_every : steps between validations and entries in the history
    checkpoint_every : steps between checkpoints
    baseline_steps : steps of the network that `baseline` and `swag` start from, where none is given
    precision : `mixed` computes networks in bfloat16: up to twice as fast on GPUs and on processors made for it, slower on others
    seed : everything random derives from it
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    members: int = Field(default=8, ge=1, le=256)
    strategy: Strategy = "scratch"
    steps: int = Field(default=1200, ge=1)
    batch: int = Field(default=16, ge=1)
    rate: float = Field(default=4e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    loss: LossName = "cross-entropy"
    class_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    softness: float = Field(default=0.12, gt=0, le=2)
    swa_share: float = Field(default=0.25, ge=0, lt=1)
    swa_rate: float = Field(default=5e-4, gt=0)
    swa_every: int = Field(default=10, ge=1)
    norm_batches: int = Field(default=20, ge=1)
    patience: int = Field(default=0, ge=0)
    validate_every: int = Field(default=100, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    baseline_steps: int = Field(default=1200, ge=1)
    precision: Literal["single", "mixed"] = "single"
    seed: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _averages_something(self) -> TrainingSettings:
        # The members of `swag` take no steps of their own: what is averaged is the network they are drawn around.
        averaging = self.baseline.swa_steps
        if self.strategy == "swag" and averaging < 2 * self.swa_every:
            raise ValueError(
                f"strategy 'swag' needs at least two snapshots to average: of baseline_steps = {self.baseline_steps} the last {averaging},"
                f" with one every {self.swa_every}, give fewer"
            )
        return self

    @model_validator(mode="after")
    def _learns_something(self) -> TrainingSettings:
        if self.class_weights is not None and not any(self.class_weights):
            raise ValueError("class_weights are all 0, nothing would be learned")
        return self

    @property
    def baseline(self) -> TrainingSettings:
        """How the network is trained that `baseline` and `swag` start from."""
        return self.model_copy(update={"steps": self.baseline_steps})

    @property
    def swa_steps(self) -> int:
        """Steps in which weights are averaged."""
        return round(self.swa_share * self.steps)

    @property
    def search_steps(self) -> int:
        """Steps before that, at most."""
        return self.steps - self.swa_steps
