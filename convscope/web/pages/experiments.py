"""The pages of experiments: from results, forms and jobs to their contexts."""

import re
from typing import Literal

from convscope.experiments import TABLE
from convscope.runner import experiment
from convscope.web.contexts.experiments import (
    ChartPage,
    ExperimentPage,
    Finding,
    Form,
    Inquiry,
    Laboratory,
    Step,
    StepPage,
)
from convscope.web.pages.atlas import Survey

UNITS = ("unit", "units", "target", "targets")  # inputs that a unit can stand in


def laboratory(survey: Survey, steps: tuple[Step, ...]) -> Laboratory:
    """All experiments there are, and the jobs."""
    return Laboratory(survey.info.network, survey.notebook.trials(everything=True), steps)


def experiment_page(
    survey: Survey, name: str, form: Form | None = None, steps: tuple[Step, ...] = ()
) -> ExperimentPage:
    """An experiment with its results; in the app also with its form and the jobs that are not over."""
    return ExperimentPage(
        network=survey.info.network,
        name=name,
        question=TABLE[name].question,
        about=about(name),
        findings=survey.notebook.findings(name),
        form=form,
        steps=steps,
    )


def about(name: str) -> str:
    """What the experiment does: the first paragraph of its documentation."""
    first = " ".join(experiment(name).text.split("\n\n")[0].split())
    return re.sub(r"\s*\(METHODS [^)]*\)", "", first)


def inquiries(picture: str, unit: str, of: Literal["picture", "unit"]) -> tuple[Inquiry, ...]:
    """The experiments that take a picture, or a unit, with the one in view in their forms.

    An experiment is ready when it needs nothing else.
    """
    found = []
    for name, row in TABLE.items():
        inputs = [field for field in experiment(name).inputs if field.kind != "network"]
        pictures = [field for field in inputs if field.kind in ("picture", "pictures")][:1]
        units = [field for field in inputs if field.name in UNITS and field.positional]
        if not (pictures if of == "picture" else units):
            continue
        wanted = [(field.name, picture) for field in pictures if of == "picture" or not field.optional]
        given = dict([*wanted, *((field.name, unit) for field in units)])
        ready = all(field.optional or field.name in given for field in inputs)
        found.append(Inquiry(name, row.question, tuple(given.items()), ready))
    return tuple(found)


def step_page(survey: Survey, step: Step, asked: str) -> StepPage:
    """A job; `asked` is what stood in its form, as a query."""
    return StepPage(survey.info.network, step, TABLE[step.experiment].question, asked)


def chart_page(survey: Survey, found: Finding, arrays: tuple[tuple[str, tuple[int, ...]], ...]) -> ChartPage:
    """A result to look into."""
    return ChartPage(survey.info.network, found, arrays)
