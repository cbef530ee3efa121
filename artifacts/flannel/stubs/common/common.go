// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later

// Package common stands in for a cloud's SDK that Go's module proxy does not have. It has what flannel's backend for
// that cloud names, and nothing works: flanneld compiles, and a configuration with that backend fails at its start.
package common

// StringPtr gives a string's address.
func StringPtr(value string) *string { return &value }

// BoolPtr gives a boolean's address.
func BoolPtr(value bool) *bool { return &value }

// StringPtrs gives the addresses of strings.
func StringPtrs(values []string) []*string {
	found := make([]*string, len(values))
	for i := range values {
		found[i] = &values[i]
	}
	return found
}
