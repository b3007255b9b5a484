pytest_plugins = ["tests.support.sanic_client", "tests.support.skips"]
