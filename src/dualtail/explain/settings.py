"""Settings of what models look at; free of torch, so that reading a config stays cheap."""

from pydantic import PositiveInt

from dualtail.config.section import Section


class ExplainSettings(Section):
    """Grad-CAM (Fig. 4 and 10) and occlusion (Fig. 8, Table 15), of the first entry of study.pefts."""

    images: PositiveInt = 600
    """maximum number of images per dataset for Grad-CAM, evenly over classes: those of `occlusion` with
    nothing hidden, or of its test split"""
