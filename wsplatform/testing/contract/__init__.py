"""The cases of wsplatform.testing.TransportContract, a module for each question."""
