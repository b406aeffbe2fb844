"""What is neither a kernel nor a message, written out: time of the software, of an empty pipeline, of a host's link.

Every value is that of its text, so a test need only compare the last one with the engine's.
"""

from __future__ import annotations

from roofline.engine.deployment import Deployment
from roofline.engine.ops import Op
from roofline.engine.training import offload
from roofline.machine import Chip, Stack
from roofline.studies.arithmetic.sheet import Constant, Line, Sheet, stack_source
from roofline.workload import Model

RESULT = "one_execution"


def overhead(op: Op, model: Model, deployment: Deployment) -> list[Line]:
    """The lines of an operator of kind `overhead`; what it is made of says which it is."""
    chip, stack = deployment.chip, deployment.stack
    sheet = Sheet()
    if "sequences" in op.terms:
        _of_pass(sheet, op, float(model.layers), chip, stack)
    elif "through" in op.terms:
        _bubble(sheet, op, zero_bubble=deployment.plan.schedule == "zero-bubble")
    elif "moved" in op.terms:
        _transfer(sheet, op, deployment)
    elif "taken" in op.terms:
        _of_layers(sheet, op, model, chip, stack)
    else:
        sheet.put(_stated("step", "for each step", chip, stack))
        sheet.take(RESULT, "step")
    return sheet.lines


def _of_pass(sheet: Sheet, op: Op, layers: float, chip: Chip, stack: Stack) -> None:
    """What the software adds to each pass of a model that is served."""
    sheet.put(
        _stated("step", "for each pass", chip, stack),
        _stated("layer", "for each layer", chip, stack),
        Constant("layers", "of the model", layers),
    )
    if stack.sequence or stack.handling:
        sheet.put(Constant("sequences", "that take part in the pass on this chip", float(op.terms["sequences"])))
    own = "step + layer*layers"
    if stack.sequence:
        sheet.put(_stated("sequence", "for each sequence of a pass", chip, stack))
        own = "step + sequence*sequences + layer*layers"
    ahead: list[str] = []
    if stack.host:
        sheet.put(_stated("host", "launching a layer meanwhile", chip, stack))
        ahead.append("host*layers")
    if stack.handling:
        sheet.put(_stated("handling", "for each sequence of the pass before, meanwhile", chip, stack))
        ahead.append("handling*sequences")
    if not ahead:
        sheet.take(RESULT, own)
        return
    sheet.put(Constant("taken", "all operators of the pass", float(op.terms["taken"]), "s"))
    longest = ahead[0] if len(ahead) == 1 else f"max({', '.join(ahead)})"
    sheet.take(RESULT, f"max({own}, {longest} - taken)")


def _of_layers(sheet: Sheet, op: Op, model: Model, chip: Chip, stack: Stack) -> None:
    """What the software adds to each layer of a micro-batch of training."""
    sheet.put(
        _stated("layer", "for each layer", chip, stack),
        _stated("host", "launching a layer meanwhile", chip, stack),
        Constant("layers", "of the model", float(model.layers)),
    )
    launched = "host*layers"
    if model.routed_layers:
        sheet.put(
            _stated("routing", "launching a layer of experts besides", chip, stack),
            Constant("routed", "layers of experts", float(model.routed_layers)),
        )
        launched += " + routing*routed"
    sheet.put(Constant("taken", "all operators inside of layers", float(op.terms["taken"]), "s"))
    sheet.take("waiting", f"max({launched} - taken, 0)")
    sheet.take(RESULT, "layer + waiting/layers")


def _bubble(sheet: Sheet, op: Op, *, zero_bubble: bool) -> None:
    """While the first micro-batch comes and the last one leaves (arXiv 2104.04473, section 2.2)."""
    terms = {name: float(value) for name, value in op.terms.items()}
    sheet.put(
        Constant("through", "one micro-batch through all stages", terms["through"], "s"),
        Constant("stage", "one micro-batch on the slowest stage", terms["stage"], "s"),
        Constant("chunks", "of each stage (vpp)", terms["chunks"]),
    )
    filling = "max(through - stage, 0)/chunks"
    if not zero_bubble:
        sheet.take(RESULT, filling)
        return
    meaning = "share of a micro-batch that is gradients of weights, which fill the bubble twice"
    sheet.put(Constant("filled", meaning, terms["filled"], "", "Qi et al. 2023 (arXiv 2401.10241), table 1"))
    sheet.take(RESULT, f"{filling}*max(1 - 2*filled, 0)")


def _transfer(sheet: Sheet, op: Op, deployment: Deployment) -> None:
    """Bytes over the link to the host's memory."""
    level = offload.host(deployment.chip, deployment.plan)
    sheet.put(Constant("moved", "over the link in a step", float(op.terms["moved"]), "B"))
    if level is not None and level.bandwidth is not None:
        source = f"{deployment.chip.id}, memory {level.name}"
        sheet.put(Constant("bandwidth", "of the link to it", float(level.bandwidth), "B/s", source))
    sheet.take(RESULT, "moved/bandwidth")


def _stated(name: str, meaning: str, chip: Chip, stack: Stack) -> Constant:
    """A time that a stack states, and who says so."""
    value = float(getattr(stack, name))
    source = stack_source(stack, chip, f"overheads.{name}") if value else ""
    return Constant(name, f"{stack.id}, {meaning}", value, "s", source)
