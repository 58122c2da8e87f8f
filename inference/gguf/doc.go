// Package gguf reads and writes GGUF, the file format of llama.cpp: a header,
// typed keys and values, the list of tensors, and the tensors' data, each at a
// multiple of the alignment.
//
//	"GGUF"  version u32  tensors u64  keys u64
//	keys    × { key string, type u32, value }
//	tensors × { name string, dims u32, dim u64 …, type u32, offset u64 }
//	padding to the alignment
//	data    × { bytes, padding to the alignment }
//
// A string is a u64 length and that many bytes; an array is the type of its
// elements (u32), their number (u64) and the elements. All numbers are little
// endian. Version 2 differs from 3 only in that 3 allows big endian, which
// nobody ships and this package refuses.
//
// The reader trusts nothing: it refuses what ggml refuses, and holds at most a
// small multiple of the bytes that the header really has. Neither reader nor
// writer ever holds a tensor's data.
//
// Source: ggml/docs/gguf.md and ggml/src/gguf.cpp of llama.cpp.
package gguf
