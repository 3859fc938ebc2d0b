"""The pages of experiments: from results, forms and jobs to their contexts."""

import re

from convscope.perform import experiment, question
from convscope.web.contexts_experiments import ChartPage, ExperimentPage, Form, Laboratory, Step, StepPage
from convscope.web.pages import Survey


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
        question=question(name),
        about=about(name),
        findings=survey.notebook.findings(name),
        form=form,
        steps=steps,
    )


def about(name: str) -> str:
    """What the experiment does: the first paragraph of its documentation."""
    first = " ".join(experiment(name).text.split("\n\n")[0].split())
    return re.sub(r"\s*\(METHODS [^)]*\)", "", first)


def step_page(survey: Survey, step: Step) -> StepPage:
    """A job."""
    return StepPage(survey.info.network, step, question(step.experiment))


def chart_page(survey: Survey, key: str, arrays: tuple[tuple[str, tuple[int, ...]], ...]) -> ChartPage:
    """A result to look into; `key` is one of the notebook's."""
    found = next(one for one in survey.notebook.contents().findings if one.key == key)
    return ChartPage(survey.info.network, found, arrays)
