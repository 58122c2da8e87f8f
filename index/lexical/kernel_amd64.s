#include "textflag.h"

// The order in which packing leaves the groups of 32 numbers.
DATA order<>+0(SB)/4, $0
DATA order<>+4(SB)/4, $4
DATA order<>+8(SB)/4, $1
DATA order<>+12(SB)/4, $5
DATA order<>+16(SB)/4, $2
DATA order<>+20(SB)/4, $6
DATA order<>+24(SB)/4, $3
DATA order<>+28(SB)/4, $7
GLOBL order<>(SB), RODATA|NOPTR, $32

// 32 numbers of 16 bits, so that comparing and packing leaves them in order.
#define LOAD32(at, A, XA, B, XB) \
	VMOVDQU at+0(SI), XA; \
	VINSERTI128 $1, at+32(SI), A, A; \
	VMOVDQU at+16(SI), XB; \
	VINSERTI128 $1, at+48(SI), B, B

// MATCH gives a bit for each of 32 numbers that is the one in Y8.
#define MATCH(A, B, OUT) \
	VPCMPEQW A, Y8, Y9; \
	VPCMPEQW B, Y8, Y10; \
	VPACKSSWB Y10, Y9, Y9; \
	VPMOVMSKB Y9, OUT

// PLACE gives the place of the number in Y8 among 128 in DX, 128 where it is not
// there.
#define PLACE \
	MATCH(Y0, Y1, DX); \
	MATCH(Y2, Y3, BX); \
	SHLQ $32, BX; \
	ORQ BX, DX; \
	MATCH(Y4, Y5, R11); \
	MATCH(Y6, Y7, BX); \
	SHLQ $32, BX; \
	ORQ BX, R11; \
	TZCNTQ R11, R11; \
	ADDQ $64, R11; \
	TZCNTQ DX, DX; \
	CMOVQCS R11, DX

// func findShortVector(docs *[256]byte, x uint32) int
TEXT ·findShortVector(SB), NOSPLIT, $0-24
	MOVQ docs+0(FP), SI
	MOVL x+8(FP), AX
	VMOVD AX, X8
	VPBROADCASTW X8, Y8
	LOAD32(0, Y0, X0, Y1, X1)
	LOAD32(64, Y2, X2, Y3, X3)
	LOAD32(128, Y4, X4, Y5, X5)
	LOAD32(192, Y6, X6, Y7, X7)
	PLACE
	MOVQ $-1, AX
	CMPQ DX, $128
	CMOVQEQ AX, DX
	MOVQ DX, ret+16(FP)
	VZEROUPPER
	RET

// func addShortVector(docs *[256]byte, impacts *[128]byte, first, step uint32, of *candidate, n int)
TEXT ·addShortVector(SB), NOSPLIT, $0-40
	MOVQ docs+0(FP), SI
	MOVQ impacts+8(FP), DI
	MOVL first+16(FP), R9
	MOVL step+20(FP), R10
	MOVQ of+24(FP), R8
	MOVQ n+32(FP), CX
	LOAD32(0, Y0, X0, Y1, X1)
	LOAD32(64, Y2, X2, Y3, X3)
	LOAD32(128, Y4, X4, Y5, X5)
	LOAD32(192, Y6, X6, Y7, X7)

candidate:
	MOVL (R8), AX
	SUBL R9, AX
	VMOVD AX, X8
	VPBROADCASTW X8, Y8
	PLACE
	// The impact at place 128 would be another's: place 0 is read, and not counted.
	XORL R12, R12
	XORL R13, R13
	CMPQ DX, $128
	SETCS R12
	CMOVQEQ R13, DX
	MOVBLZX (DI)(DX*1), AX
	IMULL R10, AX
	NEGL R12
	ANDL R12, AX
	ADDL AX, 4(R8)
	ADDQ $8, R8
	DECQ CX
	JNZ candidate
	VZEROUPPER
	RET

// func addBitmapVector(words, impacts *byte, n, first, step uint32, of *candidate, many int)
TEXT ·addBitmapVector(SB), NOSPLIT, $64-48
	MOVQ words+0(FP), SI
	MOVQ impacts+8(FP), DI
	MOVL n+16(FP), R14
	MOVL first+20(FP), R9
	MOVL step+24(FP), R10
	MOVQ of+32(FP), R8
	MOVQ many+40(FP), CX
	// Ones before each word, to that of the last candidate.
	MOVL -8(R8)(CX*8), DX
	SUBL R9, DX
	SHRL $6, DX
	LEAQ before-64(SP), R15
	XORL AX, AX
	XORL BX, BX

word:
	MOVB AX, (R15)(BX*1)
	XORL R11, R11
	POPCNTQ (SI)(BX*8), R11
	ADDL R11, AX
	INCL BX
	CMPL BX, DX
	JLS word

candidate:
	MOVL (R8), AX
	SUBL R9, AX
	MOVL AX, BX
	SHRL $6, BX
	ANDL $63, AX
	MOVQ (SI)(BX*8), R11
	BZHIQ AX, R11, R12
	XORL R13, R13
	POPCNTQ R12, R12
	MOVBLZX (R15)(BX*1), BX
	ADDL BX, R12
	XORL BX, BX
	BTQ AX, R11
	SETCS R13
	XORL DX, DX
	CMPL R12, R14
	SETCS DX
	CMOVLCC BX, R12
	ANDL DX, R13
	MOVBLZX (DI)(R12*1), AX
	IMULL R10, AX
	NEGL R13
	ANDL R13, AX
	ADDL AX, 4(R8)
	ADDQ $8, R8
	DECQ CX
	JNZ candidate
	RET

// func drainVector(sums *[4096]uint32, lo, need uint32, out *[4096]candidate) int
TEXT ·drainVector(SB), NOSPLIT, $0-32
	MOVQ sums+0(FP), SI
	MOVL lo+8(FP), R9
	MOVL need+12(FP), AX
	VMOVD AX, X8
	VPBROADCASTD X8, Y8
	MOVQ out+16(FP), DI
	MOVQ DI, R10
	MOVQ $128, CX
	VPXOR Y9, Y9, Y9
	VMOVDQU order<>(SB), Y10

sums:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU 64(SI), Y2
	VMOVDQU 96(SI), Y3
	VPMAXUD Y0, Y8, Y4
	VPMAXUD Y1, Y8, Y5
	VPMAXUD Y2, Y8, Y6
	VPMAXUD Y3, Y8, Y7
	VPCMPEQD Y0, Y4, Y4
	VPCMPEQD Y1, Y5, Y5
	VPCMPEQD Y2, Y6, Y6
	VPCMPEQD Y3, Y7, Y7
	VPACKSSDW Y5, Y4, Y4
	VPACKSSDW Y7, Y6, Y6
	VPACKSSWB Y6, Y4, Y4
	VPERMD Y4, Y10, Y4
	VPMOVMSKB Y4, AX
	TESTL AX, AX
	JZ clear

reached:
	TZCNTL AX, BX
	MOVL (SI)(BX*4), DX
	ADDL R9, BX
	MOVL BX, (DI)
	MOVL DX, 4(DI)
	ADDQ $8, DI
	LEAL -1(AX), BX
	ANDL BX, AX
	JNZ reached

clear:
	VMOVDQU Y9, (SI)
	VMOVDQU Y9, 32(SI)
	VMOVDQU Y9, 64(SI)
	VMOVDQU Y9, 96(SI)
	ADDQ $128, SI
	ADDL $32, R9
	DECQ CX
	JNZ sums

	SUBQ R10, DI
	SHRQ $3, DI
	MOVQ DI, ret+24(FP)
	VZEROUPPER
	RET

#define STRONG(at, OUT) \
	VMOVDQU at(SI), Y0; \
	VPMAXUB Y0, Y8, Y1; \
	VPCMPEQB Y0, Y1, Y1; \
	VPMOVMSKB Y1, OUT

// func strongVector(impacts *[128]byte, least uint8) (low, high uint64)
TEXT ·strongVector(SB), NOSPLIT, $0-32
	MOVQ impacts+0(FP), SI
	MOVBLZX least+8(FP), AX
	VMOVD AX, X8
	VPBROADCASTB X8, Y8
	STRONG(0, AX)
	STRONG(32, BX)
	SHLQ $32, BX
	ORQ BX, AX
	MOVQ AX, low+16(FP)
	STRONG(64, AX)
	STRONG(96, BX)
	SHLQ $32, BX
	ORQ BX, AX
	MOVQ AX, high+24(FP)
	VZEROUPPER
	RET
