// Package compress makes models smaller and measures what that costs.
//
// Quantize runs llama.cpp's llama-quantize, with an importance matrix by
// llama-imatrix where there are texts for one. Prune sets the smallest weights
// of each matrix to zero, in Go, tensor by tensor. Compare measures two models
// with llama-perplexity, llama-bench and the engine itself, and a Gate judges.
//
// What zeros gain: no format of llama.cpp stores a zero in less room than
// another number, and none of its kernels skips it. A pruned model is as big
// and as slow as before; what it gains is whatever a later quantisation, or a
// compression of the file on its way to a box, makes of it. PruneReport.Note
// says so to whoever prunes.
package compress
