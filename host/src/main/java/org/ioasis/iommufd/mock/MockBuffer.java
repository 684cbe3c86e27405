// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.PageSource;

/** Memory of a device: no program sees it but through page tables. Any thread. */
final class MockBuffer implements PageSource {
    private final MemorySegment bytes;

    MockBuffer(int length) {
        bytes = Arena.ofAuto().allocate(length, 8);
    }

    @Override
    public int read(long offset, MemorySegment to, long at, long length) {
        MemorySegment.copy(bytes, offset, to, at, length);
        return 0;
    }

    @Override
    public int write(long offset, MemorySegment from, long at, long length) {
        MemorySegment.copy(from, at, bytes, offset, length);
        return 0;
    }
}
