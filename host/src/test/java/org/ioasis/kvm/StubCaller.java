// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommufd.BareCaller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.PageSource;
import org.ioasis.iommufd.ProgramFile;
import org.ioasis.iommufd.ProgramMemory;
import org.jspecify.annotations.Nullable;

/** A program with 64 bytes of memory and a table of files. One thread. */
final class StubCaller extends BareCaller {
    final MemorySegment bytes = Arena.ofAuto().allocate(64, 8);
    final Map<Integer, OpenFile> served = new HashMap<>();

    /** Descriptors of files that are not ours. */
    final Map<Integer, Boolean> isOthersOpen = new HashMap<>();

    @Override
    public ProgramMemory memory() {
        throw new AssertionError("nobody maps memory");
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        if (address < 0 || address + length > bytes.byteSize()) {
            return -Errno.EFAULT.number();
        }
        MemorySegment.copy(bytes, address, to, offset, length);
        return 0;
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        throw new AssertionError("nothing is written");
    }

    @Override
    public @Nullable OpenFile served(int descriptor) {
        return served.get(descriptor);
    }

    @Override
    public @Nullable ProgramFile file(int descriptor) {
        if (!isOthersOpen.containsKey(descriptor)) {
            return null;
        }
        isOthersOpen.put(descriptor, true);
        return new ProgramFile() {
            @Override
            public PageSource source() {
                throw new AssertionError("nobody looks at its pages");
            }

            @Override
            public long size() {
                return 0;
            }

            @Override
            public boolean isWritable() {
                return true;
            }

            @Override
            public void close() {
                isOthersOpen.put(descriptor, false);
            }
        };
    }

    @Override
    public int install(OpenFile file, boolean isCloseOnExec) {
        throw new AssertionError("nothing is opened");
    }
}
