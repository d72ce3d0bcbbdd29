"""Flags that make a run of any config as small as it can be."""

TINY = (
    "--config.data.train_split=train[:128]",
    "--config.data.test_split=test[:50]",
    "--config.data.batch_size=32",
    "--config.members=({'model': 'wide_resnet', 'depth': 10, 'width': 1,"
    " 'name': 'one'}, {'model': 'wide_resnet', 'depth': 10, 'width': 1,"
    " 'name': 'other'})",
    "--config.budget_params=0.8",
)
