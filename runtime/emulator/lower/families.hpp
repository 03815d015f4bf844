// The lowering functions that the instruction table names, by family.
#pragma once

namespace octavo::emulator::lower {

class Emitter;
struct Step;

#define OCTAVO_LOWER(name) void name(Emitter& e, const Step& step)
// integer.cpp
OCTAVO_LOWER(lower_mul24);
OCTAVO_LOWER(lower_sad);
OCTAVO_LOWER(lower_rem);
OCTAVO_LOWER(lower_addc);
OCTAVO_LOWER(lower_subc);
OCTAVO_LOWER(lower_madc);
OCTAVO_LOWER(lower_dp4a);
OCTAVO_LOWER(lower_dp2a);
OCTAVO_LOWER(lower_vabsdiff);
// bits.cpp
OCTAVO_LOWER(lower_and);
OCTAVO_LOWER(lower_or);
OCTAVO_LOWER(lower_xor);
OCTAVO_LOWER(lower_not);
OCTAVO_LOWER(lower_cnot);
OCTAVO_LOWER(lower_lop3);
OCTAVO_LOWER(lower_shl);
OCTAVO_LOWER(lower_shr);
OCTAVO_LOWER(lower_shf);
OCTAVO_LOWER(lower_popc);
OCTAVO_LOWER(lower_clz);
OCTAVO_LOWER(lower_bfind);
OCTAVO_LOWER(lower_brev);
OCTAVO_LOWER(lower_bfe);
OCTAVO_LOWER(lower_bfi);
OCTAVO_LOWER(lower_bmsk);
OCTAVO_LOWER(lower_fns);
OCTAVO_LOWER(lower_prmt);
// arithmetic.cpp: integers and floats of every width
OCTAVO_LOWER(lower_add);
OCTAVO_LOWER(lower_sub);
OCTAVO_LOWER(lower_mul);
OCTAVO_LOWER(lower_mad);
OCTAVO_LOWER(lower_fma);
OCTAVO_LOWER(lower_div);
OCTAVO_LOWER(lower_abs);
OCTAVO_LOWER(lower_neg);
OCTAVO_LOWER(lower_min);
OCTAVO_LOWER(lower_max);
// float.cpp
OCTAVO_LOWER(lower_approximate_div);
OCTAVO_LOWER(lower_rcp);
OCTAVO_LOWER(lower_sqrt);
OCTAVO_LOWER(lower_rsqrt);
OCTAVO_LOWER(lower_special);
OCTAVO_LOWER(lower_copysign);
OCTAVO_LOWER(lower_testp);
// compare.cpp
OCTAVO_LOWER(lower_setp);
OCTAVO_LOWER(lower_set);
OCTAVO_LOWER(lower_selp);
OCTAVO_LOWER(lower_slct);
// convert.cpp
OCTAVO_LOWER(lower_cvt);
OCTAVO_LOWER(lower_cvt_pack);
// move.cpp
OCTAVO_LOWER(lower_mov);
OCTAVO_LOWER(lower_cvta);
OCTAVO_LOWER(lower_isspacep);
OCTAVO_LOWER(lower_nothing);
OCTAVO_LOWER(lower_createpolicy);
// memory.cpp
OCTAVO_LOWER(lower_ld);
OCTAVO_LOWER(lower_st);
OCTAVO_LOWER(lower_atom);
OCTAVO_LOWER(lower_red);
OCTAVO_LOWER(lower_fence);
OCTAVO_LOWER(lower_cp_async);
OCTAVO_LOWER(lower_cp_async_commit);
OCTAVO_LOWER(lower_cp_async_wait);
OCTAVO_LOWER(lower_cp_async_wait_all);
// async.cpp
OCTAVO_LOWER(lower_mbarrier_init);
OCTAVO_LOWER(lower_mbarrier_inval);
OCTAVO_LOWER(lower_mbarrier_expect_tx);
OCTAVO_LOWER(lower_mbarrier_complete_tx);
OCTAVO_LOWER(lower_mbarrier_arrive);
OCTAVO_LOWER(lower_mbarrier_arrive_drop);
OCTAVO_LOWER(lower_mbarrier_wait);
OCTAVO_LOWER(lower_mbarrier_pending_count);
OCTAVO_LOWER(lower_cp_async_arrive);
OCTAVO_LOWER(lower_bulk_to_shared);
OCTAVO_LOWER(lower_bulk_to_global);
OCTAVO_LOWER(lower_bulk_prefetch);
OCTAVO_LOWER(lower_bulk_commit);
OCTAVO_LOWER(lower_bulk_wait);
OCTAVO_LOWER(lower_async_store);
OCTAVO_LOWER(lower_tensor_load);
OCTAVO_LOWER(lower_tensor_store);
OCTAVO_LOWER(lower_tensor_prefetch);
OCTAVO_LOWER(lower_fence_proxy);
OCTAVO_LOWER(lower_warp_sync);
// control.cpp
OCTAVO_LOWER(lower_bra);
OCTAVO_LOWER(lower_brx);
OCTAVO_LOWER(lower_call);
OCTAVO_LOWER(lower_call_result);
OCTAVO_LOWER(lower_alloca);
OCTAVO_LOWER(lower_stacksave);
OCTAVO_LOWER(lower_stackrestore);
OCTAVO_LOWER(lower_ret);
OCTAVO_LOWER(lower_exit);
OCTAVO_LOWER(lower_trap);
OCTAVO_LOWER(lower_nanosleep);
OCTAVO_LOWER(lower_griddepcontrol);
// synchronise.cpp
OCTAVO_LOWER(lower_barrier);
OCTAVO_LOWER(lower_barrier_lanes);
OCTAVO_LOWER(lower_barrier_result);
OCTAVO_LOWER(lower_mapa);
OCTAVO_LOWER(lower_getctarank);
OCTAVO_LOWER(lower_setmaxnreg);
// wmma.cpp
OCTAVO_LOWER(lower_wmma_load);
OCTAVO_LOWER(lower_wmma_store);
OCTAVO_LOWER(lower_wmma_mma);
// exchange.cpp
OCTAVO_LOWER(lower_shfl);
OCTAVO_LOWER(lower_vote);
OCTAVO_LOWER(lower_match);
OCTAVO_LOWER(lower_redux);
OCTAVO_LOWER(lower_elect);
OCTAVO_LOWER(lower_activemask);
OCTAVO_LOWER(lower_mma);
OCTAVO_LOWER(lower_ldmatrix);
OCTAVO_LOWER(lower_stmatrix);
OCTAVO_LOWER(lower_movmatrix);
// wgmma.cpp
OCTAVO_LOWER(lower_wgmma);
OCTAVO_LOWER(lower_wgmma_fence);
OCTAVO_LOWER(lower_wgmma_commit);
OCTAVO_LOWER(lower_wgmma_wait);
#undef OCTAVO_LOWER

}  // namespace octavo::emulator::lower
