// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later

// Package errors is part of the stand-in, see common.
package errors

// TencentCloudSDKError is what the SDK's calls fail with.
type TencentCloudSDKError struct{ Message string }

func (e *TencentCloudSDKError) Error() string { return e.Message }
