// Package huggingface turns a folder as Hugging Face publishes models
// (config.json, tokenizer.json, *.safetensors) into one GGUF file for
// llama.cpp: Llama, Mistral, Qwen 2, 2.5 and 3, Phi-3, Gemma 2 and 3, plain or
// quantised by GPTQ or AWQ.
//
// What the folder holds is planned before a byte is written: every tensor that
// the architecture wants is found and its shape checked, every tensor that is
// there is accounted for, and what llama.cpp would compute otherwise than the
// checkpoint means is refused by the key that says so. Then the tensors are
// written one after the other in pieces, so that memory does not grow with the
// model.
//
// While it is written the file is named out.part, and out.journal beside it
// says which tensors are done and what their bytes hash to. Where both are found
// and belong to the same source and plan, what is done is verified and not done
// again.
//
// Sources for the names and keys: src/llama-arch.cpp, src/llama-vocab.cpp,
// src/models/*.cpp and conversion/*.py of llama.cpp v0.5.0.
package huggingface
