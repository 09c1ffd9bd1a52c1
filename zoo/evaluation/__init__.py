"""How good a model is: samples beside data, by distances, by neighbours and by loss."""

from zoo.evaluation.draws import draw
from zoo.evaluation.errors import EvaluationError
from zoo.evaluation.report import Evaluation
from zoo.evaluation.run import evaluate, events
from zoo.progress import Progress, result

__all__ = ["Evaluation", "EvaluationError", "Progress", "draw", "evaluate", "events", "result"]
