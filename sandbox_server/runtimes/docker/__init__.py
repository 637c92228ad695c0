"""The `docker` runtime: workers are hardened containers of images with dependencies preinstalled.

`engine` speaks with Docker, and nothing else in the project imports its SDK; `hardening` says what a container may do;
`attach` is the byte stream to an agent in one; `container` is a worker; `single_use` keeps containers for samples that
want one each; `reaper` removes what dead servers left; `runtime` wires them.
"""
