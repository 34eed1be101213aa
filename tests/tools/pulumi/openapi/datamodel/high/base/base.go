// Package base has the types of a document's schemas.
package base

import (
	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Hashed is a schema as it was read.
type Hashed struct{}

// Hash is always the same.
func (*Hashed) Hash() uint64 { return 0 }

// Discriminator says which schema a value has.
type Discriminator struct {
	PropertyName string
	Mapping      *orderedmap.Map[string, string]
}

// Either is a schema or a boolean.
type Either struct {
	A *SchemaProxy
	B bool
}

// IsA is false.
func (*Either) IsA() bool { return false }

// SchemaProxy refers to a schema.
type SchemaProxy struct{}

// Schema returns nothing.
func (*SchemaProxy) Schema() *Schema { return nil }

// Schema describes a value.
type Schema struct {
	Type, Required               []string
	Format, Description, Pattern string
	AllOf, AnyOf, OneOf          []*SchemaProxy
	Properties                   *orderedmap.Map[string, *SchemaProxy]
	Extensions                   *orderedmap.Map[string, *yaml.Node]
	Discriminator                *Discriminator
	Items, AdditionalProperties  *Either
	Enum                         []*yaml.Node
	Default                      *yaml.Node
	ReadOnly, Nullable           *bool
	MinLength, MaxLength         *int64
	Minimum, Maximum, MultipleOf *float64
}

// GoLow returns nothing.
func (*Schema) GoLow() *Hashed { return nil }

// MarshalJSONInline returns nothing.
func (*Schema) MarshalJSONInline() ([]byte, error) { return nil, nil }
