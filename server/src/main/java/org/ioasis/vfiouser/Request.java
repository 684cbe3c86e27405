// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * A command of the client, its sizes and flags checked; whether it can be done is the session's to
 * find out. Data that a request refers to lies in the input buffer and is gone with the next
 * message. Loop thread.
 */
sealed interface Request {
    record Version(int major, int minor, VersionData.Proposal proposal) implements Request {}

    /**
     * @param address first guest-physical address
     * @param size bytes, at least 1 page, and {@code address + size - 1} does not wrap
     * @param offset into the file of the descriptor
     */
    record DmaMap(long address, long size, long offset, boolean isWritable) implements Request {
        long last() {
            return address + (size - 1);
        }
    }

    record DmaUnmap(long address, long size) implements Request {
        long last() {
            return address + (size - 1);
        }
    }

    record DmaUnmapAll() implements Request {}

    record DeviceInfo() implements Request {}

    record RegionInfo(int index) implements Request {}

    /**
     * @param room bytes that the client has room for, u32
     */
    record IoFds(int index, long room) implements Request {}

    record IrqInfo(int index) implements Request {}

    /** What SET_IRQS acts on: each of {@code start .. start + count - 1} … */
    enum IrqData {
        /** … all of them. */
        NONE,
        /** … those whose byte in the data is not 0. */
        BOOL,
        /** … all of them, with a descriptor for each, or without any to take them away. */
        EVENTFD
    }

    /** What is done with an interrupt. */
    enum IrqAction {
        TRIGGER,
        MASK,
        UNMASK
    }

    record SetIrqs(
            IrqAction action,
            IrqData kind,
            int index,
            long start,
            long count,
            MemorySegment data,
            long dataOffset)
            implements Request {
        /** Whether it is about interrupt {@code vector}, one of those that it names. */
        boolean isMeant(int vector) {
            return kind != IrqData.BOOL
                    || data.get(ValueLayout.JAVA_BYTE, dataOffset + (vector - start)) != 0;
        }
    }

    record RegionRead(int region, long offset, int count) implements Request {}

    record RegionWrite(int region, long offset, int count, MemorySegment data, long dataOffset)
            implements Request {}

    /** Writes one after the other, at least one. */
    record RegionWriteMulti(List<RegionWrite> writes) implements Request {
        public RegionWriteMulti {
            writes = List.copyOf(writes);
        }
    }

    /**
     * @param feature its index
     * @param action which of GET, SET and PROBE, as they are in the message
     * @param state what SET of a state says, 0 of others
     * @param room bytes that the client has room for, u32
     */
    record Feature(int feature, int action, int state, long room) implements Request {
        int flags() {
            return feature | action;
        }
    }

    /** What is asked of the log of what the device writes. */
    sealed interface Logging extends Request {
        /** Feature and action, as they are in the message. */
        int flags();
    }

    /**
     * @param pageSize what the client wants to be told of, u64
     * @param data where what the answer repeats begins with the page size, at {@code dataOffset}
     */
    record LoggingStart(long pageSize, MemorySegment data, long dataOffset, int dataSize)
            implements Logging {
        @Override
        public int flags() {
            return VFIO_DEVICE_FEATURE_DMA_LOGGING_START | VFIO_DEVICE_FEATURE_SET;
        }
    }

    record LoggingStop() implements Logging {
        @Override
        public int flags() {
            return VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP | VFIO_DEVICE_FEATURE_SET;
        }
    }

    /**
     * @param pageSize bytes that a bit of the bitmap stands for, a power of two
     * @param words of 64 bits that the bitmap has
     */
    record LoggingReport(long first, long last, long pageSize, int words) implements Logging {
        @Override
        public int flags() {
            return VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT | VFIO_DEVICE_FEATURE_GET;
        }
    }

    /** Whether there is such a thing, or what there is not. */
    record LoggingOther(int feature, int action) implements Logging {
        @Override
        public int flags() {
            return feature | action;
        }
    }

    /** At least one byte, and no more than of an access to a register. */
    record MigRead(int size) implements Request {}

    record MigWrite(int size, MemorySegment data, long dataOffset) implements Request {}

    record Reset() implements Request {}

    /** Not understood or not offered. */
    record Refused(int errno, String why) implements Request {}
}
