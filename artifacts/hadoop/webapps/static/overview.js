// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later
// Shows what a daemon says of itself at /jmx. Whatever comes from there is put into the page as text, never as markup:
// names of hosts and folders are not ours to trust.
"use strict";

const REFRESH = 5000;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bytes(count) {
  if (!Number.isFinite(count)) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count.toFixed(unit === 0 || count >= 100 ? 0 : 1)} ${units[unit]}`;
}

const whole = (count) => (Number.isFinite(count) ? count.toLocaleString("en") : "unknown");

// [label, value, kind]: kind "bad" marks a number that should be zero, "text" a value that is not a number.
function figures(items) {
  const list = element("dl", undefined, "figures");
  for (const [label, value, kind] of items) {
    const box = element("div");
    box.append(element("dt", label), element("dd", value, kind));
    list.append(box);
  }
  return list;
}

// columns: [heading, function of a row giving text or an element, "number" or ""].
function table(title, columns, rows, none) {
  const section = element("section");
  section.append(element("h2", title));
  if (rows.length === 0) {
    section.append(element("p", none));
    return section;
  }
  const made = element("table");
  const head = element("tr");
  for (const [heading, , kind] of columns) head.append(element("th", heading, kind));
  made.append(element("thead"), element("tbody"));
  made.tHead.append(head);
  for (const row of rows) {
    const line = element("tr");
    for (const [, content, kind] of columns) {
      const value = content(row);
      const cell = element("td", undefined, kind);
      cell.append(value instanceof Node ? value : String(value));
      line.append(cell);
    }
    made.tBodies[0].append(line);
  }
  const frame = element("div", undefined, "table");
  frame.append(made);
  section.append(frame);
  return section;
}

function share(used, all) {
  const bar = element("progress");
  bar.max = 100;
  bar.value = all > 0 ? (100 * used) / all : 0;
  bar.title = `${bar.value.toFixed(1)} % used`;
  return bar;
}

async function beans(query) {
  const answer = await fetch(`/jmx?qry=${encodeURIComponent(query)}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`/jmx answered ${answer.status}`);
  return (await answer.json()).beans;
}

const one = async (query) => (await beans(query))[0] || {};
const entries = (json) => Object.entries(JSON.parse(json || "{}"));
const alarming = (count) => (count > 0 ? "bad" : undefined);

async function namenode() {
  const [status, info, system] = await Promise.all([
    one("Hadoop:service=NameNode,name=NameNodeStatus"),
    one("Hadoop:service=NameNode,name=NameNodeInfo"),
    one("Hadoop:service=NameNode,name=FSNamesystem"),
  ]);
  const live = entries(info.LiveNodes);
  const dead = entries(info.DeadNodes);
  const safe = Boolean(info.Safemode);
  return {
    state: `${status.HostAndPort || ""} is ${status.State || "unknown"}${safe ? ", in safe mode" : ""}`,
    good: status.State === "active" && !safe && dead.length === 0 && !(system.MissingBlocks > 0),
    parts: [
      figures([
        ["Live DataNodes", whole(live.length)],
        ["Dead DataNodes", whole(dead.length), alarming(dead.length)],
        ["Capacity", bytes(info.Total)],
        ["Used by HDFS", bytes(info.Used)],
        ["Free", bytes(info.Free)],
        ["Files and folders", whole(system.FilesTotal)],
        ["Blocks", whole(system.BlocksTotal)],
        ["Missing blocks", whole(system.MissingBlocks), alarming(system.MissingBlocks)],
        ["Under-replicated", whole(system.UnderReplicatedBlocks), alarming(system.UnderReplicatedBlocks)],
        ["Version", String(info.SoftwareVersion || "unknown"), "text"],
        ["Cluster", String(info.ClusterId || "unknown"), "text"],
      ]),
      table("Live DataNodes", [
        ["Host", ([name]) => name],
        ["State", ([, node]) => node.adminState],
        ["Last contact", ([, node]) => `${whole(node.lastContact)} s`, "number"],
        ["Blocks", ([, node]) => whole(node.numBlocks), "number"],
        ["Used", ([, node]) => bytes(node.usedSpace), "number"],
        ["Capacity", ([, node]) => bytes(node.capacity), "number"],
        ["Disk", ([, node]) => share(node.capacity - node.remaining, node.capacity)],
      ], live, "None has reported yet."),
      ...(dead.length === 0 ? [] : [table("Dead DataNodes", [
        ["Host", ([name]) => name],
        ["Last contact", ([, node]) => `${whole(node.lastContact)} s ago`, "number"],
      ], dead, "")]),
    ],
  };
}

async function datanode() {
  const [info, [data = {}]] = await Promise.all([
    one("Hadoop:service=DataNode,name=DataNodeInfo"),
    beans("Hadoop:service=DataNode,name=FSDatasetState*"),
  ]);
  const volumes = entries(info.VolumeInfo);
  const actors = JSON.parse(info.BPServiceActorInfo || "[]");
  const connected = actors.length > 0 && actors.every((actor) => actor.ActorState === "RUNNING");
  const blocks = volumes.reduce((sum, [, volume]) => sum + (volume.numBlocks || 0), 0);
  return {
    state: connected ? "connected to its NameNode" : "not connected to its NameNode",
    good: connected && !(data.NumFailedVolumes > 0),
    parts: [
      figures([
        ["Capacity", bytes(data.Capacity)],
        ["Used by HDFS", bytes(data.DfsUsed)],
        ["Free", bytes(data.Remaining)],
        ["Blocks", whole(blocks)],
        ["Failed volumes", whole(data.NumFailedVolumes), alarming(data.NumFailedVolumes)],
        ["Transfers now", whole(info.XceiverCount)],
        ["Version", String(info.SoftwareVersion || info.Version || "unknown"), "text"],
        ["Cluster", String(info.ClusterId || "unknown"), "text"],
      ]),
      table("NameNodes", [
        ["Address", (actor) => actor.NamenodeAddress],
        ["State", (actor) => actor.ActorState],
        ["Last heartbeat", (actor) => `${actor.LastHeartbeat} s ago`, "number"],
      ], actors, "None is configured."),
      table("Volumes", [
        ["Folder", ([folder]) => folder],
        ["Blocks", ([, volume]) => whole(volume.numBlocks), "number"],
        ["Used", ([, volume]) => bytes(volume.usedSpace), "number"],
        ["Free", ([, volume]) => bytes(volume.freeSpace), "number"],
        ["Disk", ([, volume]) => share(volume.usedSpace, volume.usedSpace + volume.freeSpace)],
      ], volumes, "None."),
    ],
  };
}

const DAEMONS = { namenode, datanode };

async function refresh() {
  const state = document.getElementById("state");
  try {
    const shown = await DAEMONS[document.body.dataset.daemon]();
    state.textContent = shown.state;
    state.className = shown.good ? "good" : "bad";
    document.getElementById("content").replaceChildren(...shown.parts);
  } catch (problem) {
    state.textContent = `no answer: ${problem.message}`;
    state.className = "bad";
  }
  setTimeout(refresh, REFRESH);
}

refresh();
