"""A text, or a pair of texts, that a teacher answers: as the kind ``score``, in the section ``train.teacher.texts``."""

from components.records.kinds import score
from configs.teacher import TeacherTexts


class Kind(score.Kind):
    """All records are one split."""

    data = TeacherTexts
