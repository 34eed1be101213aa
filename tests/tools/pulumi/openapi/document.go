// Package libopenapi takes the place of the library that Pulumi's CLI reads an OpenAPI document with, for `pulumi api`,
// which no test calls: the library takes as long to compile as all of Pulumi's own packages. It has the names that the
// CLI uses, and reads nothing.
package libopenapi

import (
	"errors"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is never made.
type Document interface{ BuildV3Model() (*Model, error) }

// Model is never made.
type Model struct{ Model v3.Document }

// NewDocument fails.
func NewDocument([]byte) (Document, error) {
	return nil, errors.New("this build can't read OpenAPI documents")
}
