// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * What a look through context structures has found: an address space, or why there is none.
 * Immutable; any thread.
 *
 * @param refusal null: there is a space
 * @param found null: it is refused
 * @param at address of the entry that decided
 */
public record ContextAnswer<R extends Enum<R>>(
        @Nullable R refusal, @Nullable AddressSpace found, long at) {

    public ContextAnswer {
        if ((refusal == null) == (found == null)) {
            throw new IllegalArgumentException("refused and found, or neither");
        }
    }

    public static <R extends Enum<R>> ContextAnswer<R> refused(R refusal, long at) {
        return new ContextAnswer<>(refusal, null, at);
    }

    public static <R extends Enum<R>> ContextAnswer<R> of(AddressSpace space, long at) {
        return new ContextAnswer<>(null, space, at);
    }

    /** The space of an answer that is no refusal. */
    public AddressSpace space() {
        return requireNonNull(found, () -> "refused: " + refusal);
    }
}
