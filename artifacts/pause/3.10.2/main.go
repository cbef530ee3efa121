// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later

// Command pause holds the namespaces of a pod: it does nothing until it is told to end. Where the pod's containers
// share its process namespace it is their init, so it collects every process that has lost its parent.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	// Processes may have ended before anybody listened.
	reap()
	for received := range signals {
		if received != syscall.SIGCHLD {
			// The pod ends: those who hold its namespaces learn of it by our end, and nothing has failed.
			os.Exit(0)
		}
		reap()
	}
}

// reap collects all that have ended. One SIGCHLD may stand for many of them.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
	}
}
