"""Ten lines: ask for a study, wait for it, print its scores. Needs a running installation (`samesky up`)."""

from samesky import Client

with Client() as sky:
    dataset = {"name": "mocksky", "limit": 512, "modalities": ["hsc", "jwst"]}
    study = sky.submit({"datasets": [dataset], "models": ["efficientnet-lite0"]})
    sky.wait(study.id, on_progress=lambda now: print(f"{now.state}: {now.rows_done} of {now.rows} rows"))
    for row in sky.scores(study.id):
        print(row["left_modality"], row["right_modality"], row["metric"], row["value"], "p", row["p_value"])
