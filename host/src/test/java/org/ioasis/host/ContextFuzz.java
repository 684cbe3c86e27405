// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.Supplier;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.TwoStageWalk;
import org.ioasis.memory.Outcome;

/**
 * Memory that is a few words of an input, over and over, so that whatever address a structure names
 * there is one of them: structures lie in each other, and in tables. A look at them and the walk
 * behind it end after a bounded number of loads, and never lead out of what hardware has. One
 * thread.
 */
public final class ContextFuzz implements TableAccess {
    private static final int WORDS_MAX = 32;

    /** Entries of contexts: four with four words each, each behind a second stage of six levels. */
    private static final int FIND_LOADS = 4 * 4 * (6 + 1);

    /** Six levels, each entry and its mark behind six; and once those. */
    private static final int WALK_LOADS = 6 * (2 * 6 + 1) + 6;

    private static final int DOMAIN_BITS = 16;
    private static final int SPACE_BITS = 20;
    private static final int[] OUTPUT_BITS = {32, 36, 40, 44, 48};

    private final long[] words;
    private final TwoStageWalk walk = new TwoStageWalk();
    private int loads;

    public ContextFuzz(FuzzInput input) {
        words = new long[1 + input.next(WORDS_MAX)];
        for (int i = 0; i < words.length; i++) {
            words[i] = input.word();
        }
    }

    /** How wide addresses of an IOMMU are. */
    public static int bits(FuzzInput input) {
        return OUTPUT_BITS[input.next(OUTPUT_BITS.length)];
    }

    private int index(long address) {
        long mixed = (address >>> 3) ^ (address >>> 12);
        return (int) Long.remainderUnsigned(mixed, words.length + 1L);
    }

    @Override
    public Outcome load(long address, Cell into) {
        loads++;
        assertThat(address & 7).as("0x%x is aligned", address).isZero();
        int index = index(address);
        if (index == words.length) {
            return Outcome.ABSENT;
        }
        into.set(words[index]);
        return Outcome.OK;
    }

    @Override
    public Outcome exchange(long address, long expected, long word, Cell witness) {
        int index = index(address);
        if (index == words.length) {
            return Outcome.REFUSED;
        }
        witness.set(words[index]);
        words[index] = words[index] == expected ? word : words[index];
        return Outcome.OK;
    }

    /** A look, and walks through what it finds. */
    public <R extends Enum<R>> void check(
            int bits, Supplier<ContextAnswer<R>> look, FuzzInput input) {
        loads = 0;
        ContextAnswer<R> answer = look.get();
        assertThat(loads).isLessThanOrEqualTo(FIND_LOADS);
        if (answer.refusal() != null) {
            return;
        }
        AddressSpace space = answer.space();
        assertThat(space.domain()).isBetween(0, (1 << DOMAIN_BITS) - 1);
        assertThat(space.space()).isBetween(0, (1 << SPACE_BITS) - 1);
        Stage first = space.first();
        Stage second = space.second();
        if (second != null) {
            isPossible(second, bits);
        }
        if (first != null) {
            // An address between the stages is as wide as the second takes, or as the IOMMU.
            int between = second == null ? 0 : second.format().inputBits();
            isPossible(first, Math.max(bits, between));
        }
        for (int i = 0; i < 2; i++) {
            walk(space, input);
        }
    }

    private static void isPossible(Stage stage, int bits) {
        assertThat(stage.format().outputBits()).isLessThanOrEqualTo(bits);
        int level = Root.level(stage.root());
        assertThat(level).isBetween(0, stage.format().lastTop());
        assertThat(Root.address(stage.root()) & Bits.mask(3)).isZero();
    }

    private void walk(AddressSpace space, FuzzInput input) {
        loads = 0;
        long iova = input.next(2) == 0 ? input.word() : (long) input.next(256) << 12;
        int access = input.next(16);
        boolean isThere = space.translate(this, iova, access, input.next(2) == 0, walk);
        assertThat(loads).isLessThanOrEqualTo(WALK_LOADS);
        assertThat(isThere).isEqualTo(walk.fault() == TwoStageFault.NONE);
        if (isThere) {
            Stage last = space.second() != null ? space.second() : space.first();
            if (last != null) {
                assertThat(Bits.fits(walk.output(), last.format().outputBits())).isTrue();
                assertThat(walk.output() & 0xfff).isEqualTo(iova & 0xfff);
            } else {
                assertThat(walk.output()).isEqualTo(iova);
            }
            assertThat(access & ~walk.rights()).isZero();
        }
    }
}
