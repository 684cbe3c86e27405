// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.GuestWords;
import org.ioasis.memory.Outcome;

/**
 * Words of a guest's structures, where a translation says that the guest's memory is. Only read:
 * who looks marks nothing. One thread, inside a guarded section.
 */
final class TablesBehind implements TableAccess {
    private final Translation translation;
    private final GuestWords words;
    private final Extent extent = new Extent();

    TablesBehind(Translation translation, GuestMemory memory) {
        this.translation = translation;
        this.words = new GuestWords(memory);
    }

    @Override
    public Outcome load(long address, Cell into) {
        if (!translation.lookup(address, Long.BYTES, extent)
                || (extent.flags() & MapFlags.READ) == 0) {
            return Outcome.FAULT;
        }
        Outcome outcome = words.load(address + extent.delta());
        if (outcome == Outcome.OK) {
            into.set(words.word());
        }
        return outcome;
    }

    @Override
    public Outcome exchange(long address, long expected, long word, Cell witness) {
        return Outcome.FAULT;
    }
}
