// Package v3 has the types of a document's operations.
package v3

import (
	"github.com/pb33f/libopenapi/datamodel/high/base"
	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Document is the whole.
type Document struct {
	Info  *struct{ Version string }
	Paths *struct {
		PathItems *orderedmap.Map[string, *PathItem]
	}
	Components *struct {
		Schemas *orderedmap.Map[string, *base.SchemaProxy]
	}
}

// PathItem is a path.
type PathItem struct{ Get, Post, Put, Delete, Patch, Head *Operation }

// Operation is a method of a path.
type Operation struct {
	OperationId, Summary, Description string
	Tags                              []string
	Deprecated                        *bool
	Extensions                        *orderedmap.Map[string, *yaml.Node]
	Parameters                        []*struct {
		Name, In, Description string
		Required              *bool
		Schema                *base.SchemaProxy
	}
	RequestBody *struct {
		Content *orderedmap.Map[string, *MediaType]
	}
	Responses *struct {
		Codes   *orderedmap.Map[string, *Response]
		Default *Response
	}
}

// Response is an answer of an operation.
type Response struct {
	Description string
	Content     *orderedmap.Map[string, *MediaType]
}

// MediaType is the form of a body.
type MediaType struct{ Schema *base.SchemaProxy }
