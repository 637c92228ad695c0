"""The Python side of the contract: the generated stubs live in `cupel_client.gen`."""
