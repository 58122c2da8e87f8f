# Compiles llama.cpp's CUDA backend. Run by cuda.sh, which sets SRC (the source
# of ggml), LIB (the folder of the libggml-base.so that ships), OBJ, NVCC, ARCHS
# (such as "89", or "75 120a"), CUDA_LIB, STUBS (the folder of a libcuda.so to
# link against, or nothing) and NVCC_VERSION (such as 1208).
# The flags are those of ggml/src/ggml-cuda/CMakeLists.txt and of
# ggml_cuda_fattn_vec_instances in ggml/cmake/common.cmake; compare them when
# llama.cpp is updated. What is in this file is part of the objects' key.

cuda    := $(SRC)/src/ggml-cuda
# The K and V types that flash attention is compiled for: ggml's default. The
# KV types of the firmware profiles must be among them.
fa_all  := q4_0 q4_1 q5_0 q5_1 q8_0 bf16 f16
fa_now  := q4_0-q4_0 q8_0-q8_0 f16-f16 bf16-bf16
upper    = $(shell echo '$(1)' | tr 'a-z-' 'A-Z_')
fa_defs := $(foreach v,$(fa_all),$(foreach k,$(fa_all),-DGGML_CUDA_FA_$(call upper,$(k)_$(v))=$(if $(filter $(k)-$(v),$(fa_now)),1,0)))
empty   :=
space   := $(empty) $(empty)
comma   := ,

DEFINES := -DNDEBUG -D_GNU_SOURCE -DGGML_BACKEND_DL -DGGML_BACKEND_BUILD -DGGML_BACKEND_SHARED -DGGML_SHARED \
           -DGGML_CUDA_USE_GRAPHS '-DGGML_CUDA_FA_QUANTS="$(subst $(space),$(comma),$(fa_now))"' $(fa_defs) \
           $(if $(STUBS),,-DGGML_CUDA_NO_VMM)
FLAGS   := -std=c++17 -O3 -use_fast_math -extended-lambda -w -Xcompiler -fPIC \
           $(if $(filter 1,$(shell [ $(NVCC_VERSION) -ge 1208 ] && echo 1)),-compress-mode=size) \
           $(foreach a,$(ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) \
           -I$(SRC)/include -I$(SRC)/src -I$(cuda) $(NVCC_FLAGS)

sources := $(wildcard $(cuda)/*.cu) \
           $(foreach p,fattn-tile fattn-mma mmq mmf,$(wildcard $(cuda)/template-instances/$(p)*.cu)) \
           $(foreach c,$(fa_now),$(cuda)/template-instances/fattn-vec-instance-$(c).cu)
# The slowest first: attention and matrix multiplication by tensor cores.
slow    := $(foreach p,fattn-mma mmq fattn-tile,$(filter $(cuda)/template-instances/$(p)%,$(sources)))
objects := $(patsubst $(cuda)/%,$(OBJ)/%.o,$(slow) $(filter-out $(slow),$(sources)))

# The run time goes in whole where its archive is, so that a box needs cuBLAS
# alone. Linked by the host's compiler, as nvcc's own shell would eat $ORIGIN.
CXX     ?= g++
cudart  := $(if $(wildcard $(CUDA_LIB)/libcudart_static.a),-lcudart_static,-lcudart)

.DELETE_ON_ERROR:
$(OBJ)/libggml-cuda.so: $(objects)
	@echo '  link libggml-cuda.so'
	@$(CXX) -shared -o $@ $^ -L$(LIB) -L$(CUDA_LIB) $(addprefix -L,$(STUBS)) -Wl,--as-needed \
	  -l:libggml-base.so $(cudart) -lcublas $(if $(STUBS),-lcuda) -ldl -lrt -lpthread \
	  -Wl,-rpath,'$$ORIGIN:$(CUDA_LIB)' -Wl,--disable-new-dtags

$(OBJ)/%.cu.o: $(cuda)/%.cu
	@mkdir -p $(@D) && printf '  [%3d/%d] %s\n' "$$(( $$(find $(OBJ) -name '*.o' | wc -l) + 1 ))" $(words $(objects)) '$*.cu'
	@$(NVCC) $(FLAGS) $(DEFINES) -c $< -o $@.part && mv $@.part $@
