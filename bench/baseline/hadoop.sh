#!/usr/bin/env bash
# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
# The opponent: HDFS and YARN brought up by hand on the hosts of hosts.sh, as parallel as the daemons allow, from the same store.
# usage: hadoop.sh WORK TREE     TREE is Hadoop's folder in the store as hosts see it; ends when every daemon is ready
set -euo pipefail
work=$1 tree=$2
net=10.199.99
on() { ssh -i "$work/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "root@$net.$1" bash -s; }

prepare() { # NUMBER NAME: users, folders, configuration, units
  cat << SCRIPT
set -eu
groupadd -r hadoop
for user in hdfs yarn mapred; do useradd -r -g hadoop -d /var/lib/\$user \$user; done
install -d -o hdfs -g hadoop -m 700 /var/lib/hdfs
install -d -o yarn -g hadoop -m 770 /var/lib/yarn /var/log/yarn
ln -s $tree /opt/hadoop
mkdir /etc/hadoop
property() { echo "<property><name>\$1</name><value>\$2</value></property>"; }
{ echo '<configuration>'; property fs.defaultFS hdfs://head:8020; echo '</configuration>'; } > /etc/hadoop/core-site.xml
{ echo '<configuration>'
  property dfs.namenode.rpc-address head:8020; property dfs.namenode.http-address head:9870
  property dfs.namenode.name.dir file:///var/lib/hdfs/namenode; property dfs.datanode.data.dir file:///var/lib/hdfs/datanode
  property dfs.datanode.address $net.$1:9866; property dfs.datanode.http.address $net.$1:9864
  property dfs.datanode.ipc.address $net.$1:9867; property dfs.replication 2
  property dfs.namenode.datanode.registration.ip-hostname-check false
  echo '</configuration>'; } > /etc/hadoop/hdfs-site.xml
{ echo '<configuration>'
  property yarn.resourcemanager.hostname head; property yarn.resourcemanager.connect.retry-interval.ms 1000
  property yarn.nodemanager.hostname $2; property yarn.nodemanager.address $2:45454
  property yarn.nodemanager.aux-services mapreduce_shuffle; property yarn.nodemanager.local-dirs /var/lib/yarn/local
  property yarn.nodemanager.log-dirs /var/log/yarn/containers; property yarn.nodemanager.resource.memory-mb 1024
  property yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage 98
  property yarn.log-aggregation-enable true; property yarn.nodemanager.remote-app-log-dir /app-logs
  echo '</configuration>'; } > /etc/hadoop/yarn-site.xml
{ echo '<configuration>'
  property mapreduce.framework.name yarn; property mapreduce.jobhistory.address head:10020
  property mapreduce.jobhistory.webapp.address head:19888
  property mapreduce.jobhistory.intermediate-done-dir /mr-history/tmp; property mapreduce.jobhistory.done-dir /mr-history/done
  echo '</configuration>'; } > /etc/hadoop/mapred-site.xml
{ echo '<configuration>'
  property yarn.scheduler.capacity.root.queues default; property yarn.scheduler.capacity.root.default.capacity 100
  echo '</configuration>'; } > /etc/hadoop/capacity-scheduler.xml
printf 'log4j.rootLogger=INFO,c\nlog4j.appender.c=org.apache.log4j.ConsoleAppender\nlog4j.appender.c.layout=org.apache.log4j.SimpleLayout\n' \
  > /etc/hadoop/log4j.properties
java() { # USER HEAP MAIN [ARGUMENT ...]
  user=\$1 heap=\$2; shift 2
  echo "runuser -u \$user -- /usr/bin/java -Xms\$heap -XX:+UseSerialGC -Djava.net.preferIPv4Stack=true -Dhadoop.log.dir=/var/log/yarn \
    -Dyarn.log.dir=/var/log/yarn --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED \
    --add-opens=java.base/java.io=ALL-UNNAMED --add-opens=java.base/java.net=ALL-UNNAMED \
    -cp /etc/hadoop:/opt/hadoop:/opt/hadoop/lib/* \$*"
}
unit() { # NAME USER HEAP MAIN
  set -f
  printf '[Service]\nLimitNOFILE=65536\nExecStart=%s\n[Install]\nWantedBy=multi-user.target\n' "\$(java \$2 \$3 \$4 | sed 's/^runuser/\/usr\/sbin\/runuser/')" \
    > /etc/systemd/system/\$1.service
}
server=org.apache.hadoop
SCRIPT
}

head_script() {
  prepare 10 head
  cat << 'SCRIPT'
unit namenode hdfs '64m -Xmx256m' $server.hdfs.server.namenode.NameNode
unit resourcemanager yarn '64m -Xmx256m' $server.yarn.server.resourcemanager.ResourceManager
unit historyserver mapred '32m -Xmx192m' $server.mapreduce.v2.hs.JobHistoryServer
systemctl daemon-reload
systemctl enable -q --now resourcemanager
set -f
$(java hdfs '64m -Xmx128m -XX:TieredStopAtLevel=1' $server.hdfs.server.namenode.NameNode -format -nonInteractive) 2> /dev/null
systemctl enable -q --now namenode
until curl -sf 'http://head:9870/webhdfs/v1/?op=GETFILESTATUS' > /dev/null; do sleep 0.1; done
root=http://head:9870/webhdfs/v1
for folder in tmp:hdfs:1777 user:hdfs:755 mr-history:mapred:755 app-logs:yarn:1777; do
  IFS=: read -r name user mode <<< "$folder"
  curl -sf -X PUT "$root/$name?op=MKDIRS&permission=$mode&user.name=hdfs" > /dev/null
  curl -sf -X PUT "$root/$name?op=SETPERMISSION&permission=$mode&user.name=hdfs" > /dev/null
  curl -sf -X PUT "$root/$name?op=SETOWNER&owner=$user&group=hadoop&user.name=hdfs" > /dev/null
done
systemctl enable -q --now historyserver
until curl -sf http://head:19888/ws/v1/history/info > /dev/null; do sleep 0.1; done
until curl -sf http://head:8088/ws/v1/cluster/metrics | grep -q '"activeNodes":2'; do sleep 0.1; done
until curl -sf 'http://head:9870/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState' | grep -q '"NumLiveDataNodes" : 2'; do sleep 0.1; done
SCRIPT
}

worker_script() {
  prepare "$1" "$2"
  cat << 'SCRIPT'
unit datanode hdfs '32m -Xmx192m' $server.hdfs.server.datanode.DataNode
unit nodemanager yarn '32m -Xmx192m' $server.yarn.server.nodemanager.NodeManager
systemctl daemon-reload
systemctl enable -q --now datanode nodemanager
SCRIPT
}

head_script | on 10 &
first=$!
worker_script 11 worker1 | on 11 &
second=$!
worker_script 12 worker2 | on 12 &
third=$!
wait $first
wait $second
wait $third
