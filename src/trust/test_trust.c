/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/test_trust.c - every built type over its data.
 */
#include "trust/trust.h"

#include "cloister/cloister.h"
#include "harness/test.h"

TEST(registry)
{
	const struct clo_trust_ops *t;
	unsigned n;

	for (n = 0; (t = clo_trust_nth(n)); n++) {
		CHECK(clo_trust_find(t->vm_type) == t);
		for (unsigned i = 0; i < n; i++) {
			CHECK_NE(clo_trust_nth(i)->vm_type, t->vm_type);
			CHECK(strcmp(clo_trust_nth(i)->name, t->name) != 0);
		}
	}
	CHECK_EQ(n, 2);
	CHECK(clo_trust_nth(n) == NULL);
	CHECK(clo_trust_nth(UINT32_MAX) == NULL);
	/* KVM's numbers of types that are not built, and none. */
	for (uint32_t type = 2; type < 8; type++)
		CHECK(clo_trust_find(type) == NULL);
}

/* What must hold of every type, also of those to come. */
TEST(each_type_is_consistent)
{
	const struct clo_trust_ops *t;

	for (unsigned n = 0; (t = clo_trust_nth(n)); n++) {
		CHECK(t->name && t->name[0] && t->classify);
		/* KVM: one address space for types with private memory, SMM's beside it for others.
		 */
		CHECK_EQ(t->as_count, t->has_private_mem ? 1 : 2);
		CHECK(t->has_private_mem || !t->may_type_access);
		CHECK((unsigned)t->to_private < CLO_CONTENT_COUNT);
		CHECK((unsigned)t->to_shared < CLO_CONTENT_COUNT);
		CHECK_EQ(t->gmem_flags & t->gmem_flags_gmem_owner, 0);
		/* INIT_SHARED: only without private memory, or with the file as owner. */
		CHECK_EQ((t->gmem_flags & CLO_GMEM_INIT_SHARED) != 0, !t->has_private_mem);
		CHECK(t->has_private_mem || !(t->gmem_flags & CLO_GMEM_ZERO_ON_CONVERT));
		CHECK(t->mem_flags & CLO_MEM_GUEST_MEMFD);
		for (unsigned bits = 0; bits < 8 && !t->has_private_mem; bits++)
			CHECK(!t->classify(bits & 1, bits & 2, bits & 4));
		for (unsigned bits = 0; bits < 4 && t->may_type_access; bits++)
			CHECK_EQ(t->classify(true, bits & 1, bits & 2), (bits & 1) != 0);
	}
}

TEST(sw_protected_takes_the_kind_from_the_attribute)
{
	const struct clo_trust_ops *t = clo_trust_find(CLO_VM_SW_PROTECTED);

	for (unsigned bits = 0; bits < 4; bits++)
		CHECK_EQ(t->classify(false, bits & 1, bits & 2), (bits & 2) != 0);
	CHECK_EQ(t->to_private, CLO_CONTENT_PRESERVE);
	CHECK_EQ(t->to_shared, CLO_CONTENT_PRESERVE);
}

TEST(names_of_content_policies)
{
	CHECK_STR(clo_content_name(CLO_CONTENT_PRESERVE), "preserve");
	CHECK_STR(clo_content_name(CLO_CONTENT_ZERO), "zero");
	CHECK_STR(clo_content_name(CLO_CONTENT_COUNT), "?");
}
