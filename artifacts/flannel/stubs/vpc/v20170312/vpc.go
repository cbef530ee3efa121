// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later

// Package v20170312 is part of the stand-in, see common: every call fails and says why.
package v20170312

import "errors"

var errNotBuilt = errors.New("this flanneld was built without the tencent-vpc backend")

type (
	// Client makes no calls.
	Client struct{}
	// Filter narrows a request.
	Filter struct {
		Name   *string
		Values []*string
	}
	// Route is a line of a route table.
	Route struct {
		RouteId              *uint64
		DestinationCidrBlock *string
		GatewayType          *string
		GatewayId            *string
		RouteType            *string
		Enabled              *bool
	}
	// RouteTable has routes.
	RouteTable struct {
		RouteTableId *string
		RouteSet     []*Route
	}
	// DescribeRouteTablesRequest asks for route tables.
	DescribeRouteTablesRequest struct{ Filters []*Filter }
	// DescribeRouteTablesResponse would answer.
	DescribeRouteTablesResponse struct {
		Response *struct{ RouteTableSet []*RouteTable }
	}
	// RoutesRequest names routes of a table.
	RoutesRequest struct {
		RouteTableId *string
		Routes       []*Route
	}
	// RoutesResponse would answer.
	RoutesResponse struct{}
)

// NewClientWithSecretId makes a client that fails.
func NewClientWithSecretId(_, _, _ string) (*Client, error) { return &Client{}, errNotBuilt }

// NewDescribeRouteTablesRequest makes an empty request.
func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest {
	return &DescribeRouteTablesRequest{}
}

// NewDeleteRoutesRequest makes an empty request.
func NewDeleteRoutesRequest() *RoutesRequest { return &RoutesRequest{} }

// NewCreateRoutesRequest makes an empty request.
func NewCreateRoutesRequest() *RoutesRequest { return &RoutesRequest{} }

// DescribeRouteTables fails.
func (*Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, errNotBuilt
}

// DeleteRoutes fails.
func (*Client) DeleteRoutes(*RoutesRequest) (*RoutesResponse, error) { return nil, errNotBuilt }

// CreateRoutes fails.
func (*Client) CreateRoutes(*RoutesRequest) (*RoutesResponse, error) { return nil, errNotBuilt }
