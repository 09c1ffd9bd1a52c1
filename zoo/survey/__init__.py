"""What a model will see, before it is trained: how many pictures, which are there twice, and what is cut away."""

from zoo.survey.report import Group, Survey
from zoo.survey.run import events, survey
from zoo.survey.sheets import Sheet
from zoo.survey.sizes import Sizes

__all__ = ["Group", "Sheet", "Sizes", "Survey", "events", "survey"]
