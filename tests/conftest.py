pytest_plugins = ["tests.support.skips"]
