package gguf

import (
	"fmt"
	"math"
)

// valueType is GGUF's number for the type of a metadata value.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// size in the file in bytes; for a string, the least.
func (t valueType) size() uint64 {
	switch t {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeUint32, typeInt32, typeFloat32:
		return 4
	case typeUint64, typeInt64, typeFloat64, typeString:
		return 8
	}
	return 0
}

// Metadata is the ordered list of keys and values of a GGUF file.
//
// A value is one of uint8, int8, uint16, int16, uint32, int32, float32, bool,
// string, uint64, int64, float64, or a slice of one of these. GGUF keeps the
// width, so a uint32 and a uint64 are different values. The zero Metadata is
// empty and ready to use.
type Metadata struct {
	keys   []string
	values map[string]any
}

// Set puts value under key, at the end or in the place of the value that was
// there. A value of another type than those above is found by NewWriter.
func (m *Metadata) Set(key string, value any) {
	if m.values == nil {
		m.values = make(map[string]any)
	}
	if _, ok := m.values[key]; !ok {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
}

// Keys in the order of the file.
func (m *Metadata) Keys() []string { return append([]string(nil), m.keys...) }

// Len is the number of keys.
func (m *Metadata) Len() int { return len(m.keys) }

// Get returns the value as it is typed in the file.
func (m *Metadata) Get(key string) (any, bool) {
	v, ok := m.values[key]
	return v, ok
}

// Text returns a string, "" and false where there is none.
func (m *Metadata) Text(key string) (string, bool) {
	v, ok := m.values[key].(string)
	return v, ok
}

// Uint returns an integer of any width that is not negative.
func (m *Metadata) Uint(key string) (uint64, bool) {
	switch v := m.values[key].(type) {
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case int8:
		return uint64(v), v >= 0
	case int16:
		return uint64(v), v >= 0
	case int32:
		return uint64(v), v >= 0
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

// Float returns a float of either width.
func (m *Metadata) Float(key string) (float64, bool) {
	switch v := m.values[key].(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return math.NaN(), false
}

// Bool returns a truth value.
func (m *Metadata) Bool(key string) (value, ok bool) {
	value, ok = m.values[key].(bool)
	return value, ok
}

// Texts returns an array of strings. The caller leaves it as it is.
func (m *Metadata) Texts(key string) ([]string, bool) {
	v, ok := m.values[key].([]string)
	return v, ok
}

// typeOf returns the GGUF type of a value; elem is set for arrays.
func typeOf(v any) (t, elem valueType, n int, err error) {
	switch v := v.(type) {
	case uint8:
		return typeUint8, 0, 0, nil
	case int8:
		return typeInt8, 0, 0, nil
	case uint16:
		return typeUint16, 0, 0, nil
	case int16:
		return typeInt16, 0, 0, nil
	case uint32:
		return typeUint32, 0, 0, nil
	case int32:
		return typeInt32, 0, 0, nil
	case float32:
		return typeFloat32, 0, 0, nil
	case bool:
		return typeBool, 0, 0, nil
	case string:
		return typeString, 0, 0, nil
	case uint64:
		return typeUint64, 0, 0, nil
	case int64:
		return typeInt64, 0, 0, nil
	case float64:
		return typeFloat64, 0, 0, nil
	case []uint8:
		return typeArray, typeUint8, len(v), nil
	case []int8:
		return typeArray, typeInt8, len(v), nil
	case []uint16:
		return typeArray, typeUint16, len(v), nil
	case []int16:
		return typeArray, typeInt16, len(v), nil
	case []uint32:
		return typeArray, typeUint32, len(v), nil
	case []int32:
		return typeArray, typeInt32, len(v), nil
	case []float32:
		return typeArray, typeFloat32, len(v), nil
	case []bool:
		return typeArray, typeBool, len(v), nil
	case []string:
		return typeArray, typeString, len(v), nil
	case []uint64:
		return typeArray, typeUint64, len(v), nil
	case []int64:
		return typeArray, typeInt64, len(v), nil
	case []float64:
		return typeArray, typeFloat64, len(v), nil
	}
	return 0, 0, 0, fmt.Errorf("GGUF has no type for a %T", v)
}
