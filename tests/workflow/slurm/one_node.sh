#!/usr/bin/env bash
# A Slurm cluster of one node, this machine, with a fake GPU and the partitions main and gpu: for tests, and to
# try the profile by hand.
#   one_node.sh start FOLDER [OWNER]   keys, state and logs go to FOLDER; prints the seconds that it took
#   one_node.sh stop FOLDER            ends the daemons that `start` started, and no others
# Needs root and the Debian packages slurm-wlm and munge. Loopback only, no systemd. Slurm's programs find the
# cluster through links in /etc/slurm, made by `start` and taken away by `stop`; a machine with a slurm.conf of its
# own is left alone. What is left of a cluster of this script is stopped first: its daemons are gone, or the process
# OWNER (a number; a test that was killed) is.
set -euo pipefail

CPUS=${CPUS:-4} # more than the machine may have: jobs are placed by this number
HOST=$(hostname -s)
VERB=${1:-} FOLDER=${2:-}
OWNER=${3:-}
if [[ $VERB != start && $VERB != stop ]] || [[ -z $FOLDER ]] || [[ $OWNER && ! -d /proc/$OWNER ]]; then
  echo "usage: one_node.sh start FOLDER [OWNER] | stop FOLDER" >&2
  exit 2
fi
mkdir -p "$FOLDER"
FOLDER=$(cd "$FOLDER" && pwd)
ETC=/etc/slurm
FILES=(slurm.conf gres.conf)
DAEMONS=(slurmd slurmctld munged)

write_settings() {
  mkdir -p "$FOLDER"/state "$FOLDER"/spool "$FOLDER"/log
  cat >"$FOLDER"/slurm.conf <<END
ClusterName=one-node
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/log/slurmctld.log
SlurmdLogFile=$FOLDER/log/slurmd.log
# No cgroups, no accounting: what a container can do.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
# Finished jobs stay readable for scontrol and squeue.
MinJobAge=900
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=32000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
END
  echo "Name=gpu File=/dev/null" >"$FOLDER"/gres.conf
}

# The process number of a daemon of this cluster, nothing if it is gone.
alive() {
  local pid
  pid=$(cat "$FOLDER/$1.pid" 2>/dev/null) || return 0
  # After a crash the number may be another process's by now, or a dead one's that nobody has waited for.
  if grep -q "($1) [^Z]" "/proc/$pid/stat" 2>/dev/null; then echo "$pid"; fi
}

# Which process a number stands for: numbers are used again.
identity() { echo "$1 $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"; }

is_left_over() {
  local daemon owner
  if owner=$(cat "$FOLDER/owner" 2>/dev/null) && [[ $(identity "${owner% *}") != "$owner" ]]; then return 0; fi
  for daemon in "${DAEMONS[@]}"; do
    if [[ $(alive "$daemon") ]]; then return 1; fi
  done
}

stop_what_is_left() {
  local settings
  settings=$(readlink "$ETC/slurm.conf") || return 0
  grep -qx ClusterName=one-node "$settings" 2>/dev/null || return 0
  FOLDER=$(dirname "$settings")
  if is_left_over; then
    [[ -z $(alive slurmctld) ]] || timeout 10 scancel --user=root || true
    stop
  fi
}

start() {
  (stop_what_is_left)
  for file in "${FILES[@]}"; do
    # A link to a folder that is gone is left by a killed test, too.
    [[ -L $ETC/$file && ! -e $ETC/$file ]] && rm "$ETC/$file"
    if [[ -e $ETC/$file ]]; then
      echo "$(readlink -f "$ETC/$file") is in use: this machine is part of a cluster, or has one of ours" \
        "(one_node.sh stop FOLDER)" >&2
      exit 1
    fi
  done
  write_settings
  [[ -z $OWNER ]] || identity "$OWNER" >"$FOLDER"/owner
  # munged wants a path that only its owner can change; its socket must be open to all.
  chmod 755 "$FOLDER"
  (umask 077 && head -c 128 /dev/urandom >"$FOLDER"/munge.key)
  mkdir -p "$ETC"
  for file in "${FILES[@]}"; do ln -s "$FOLDER/$file" "$ETC/$file"; done
  munged --force --key-file="$FOLDER"/munge.key --socket="$FOLDER"/munge.socket \
    --pid-file="$FOLDER"/munged.pid --log-file="$FOLDER"/log/munged.log --seed-file="$FOLDER"/munge.seed
  slurmctld
  slurmd
  for _ in $(seq 100); do
    if sinfo --noheader --partition=main --format=%t 2>/dev/null | grep -qx idle; then
      echo "up after $SECONDS s"
      return
    fi
    sleep 0.2
  done
  echo "the node did not come up" >&2
  tail -n 20 "$FOLDER"/log/*.log >&2
  stop
  exit 1
}

stop() {
  for daemon in "${DAEMONS[@]}"; do
    pid=$(alive "$daemon")
    [[ $pid ]] || continue
    kill "$pid"
    for _ in $(seq 50); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
  done
  for file in "${FILES[@]}"; do
    [[ $(readlink "$ETC/$file") == "$FOLDER/$file" ]] && rm "$ETC/$file"
  done
  return 0
}

"$VERB"
