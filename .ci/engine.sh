# Sourced by .ci/run: sees to it that a Docker engine answers, and ends at exit what it started itself.
#
# An engine that answers already is used as it is. Else one is started, from Debian's packages where it is not installed,
# with gVisor as a second OCI runtime; its data stay in Docker's usual place, so that images are built once.

engine_up() {
  if docker info >/dev/null 2>&1; then
    echo "engine: the one that runs here"
    return
  fi
  if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null || ! command -v runsc >/dev/null; then
    apt-get update -qq
    # The package would start a service, which a container of a CI system has no manager for.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io debootstrap runsc
  fi
  engine_state=$(mktemp -d)
  cat >"$engine_state/daemon.json" <<'JSON'
{"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=none", "--platform=ptrace", "--ignore-cgroups"]}}}
JSON
  # A pid file that another engine left when the machine was saved would keep this one from starting.
  pgrep -x dockerd >/dev/null || rm -f /var/run/docker.pid
  dockerd --config-file "$engine_state/daemon.json" >"$engine_state/log" 2>&1 &
  engine_pid=$!
  trap engine_down EXIT
  for _ in $(seq 60); do
    if docker info >/dev/null 2>&1; then
      echo "engine: started, $(docker version --format '{{.Server.Version}}')"
      return
    fi
    if ! kill -0 "$engine_pid" 2>/dev/null; then
      break
    fi
    sleep 1
  done
  echo "engine: does not come up; its last words:" >&2
  tail -20 "$engine_state/log" >&2
  return 1
}

engine_down() {
  kill "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  rm -rf "$engine_state"
}
