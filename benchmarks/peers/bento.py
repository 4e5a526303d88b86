"""The same model behind BentoML, with XGBoost's fastest call inside."""

import os
from typing import Any

import bentoml
import numpy as np
import xgboost


@bentoml.service(workers=int(os.environ.get("BENTO_WORKERS", "1")), traffic={"timeout": 60})
class Wine:
    """One API: the body is MLflow's dataframe_split."""

    def __init__(self) -> None:
        """Load once a worker."""
        self.booster = xgboost.Booster(model_file=os.environ["BARE_MODEL"])
        self.booster.set_param({"nthread": 1})

    @bentoml.api
    def invocations(self, dataframe_split: dict[str, Any]) -> dict[str, Any]:
        """Predict."""
        rows = np.array(dataframe_split["data"], dtype=np.float32)
        return {"predictions": self.booster.inplace_predict(rows).tolist()}
