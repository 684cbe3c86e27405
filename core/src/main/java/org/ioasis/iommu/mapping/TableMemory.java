package org.ioasis.iommu.mapping;

/**
 * The memory that page tables of one IOMMU lie in: 64-bit words by their address. Handed in,
 * because only the module with native access can make memory whose every access is not checked.
 *
 * <p>Any thread. Nobody checks addresses: only {@link TablePool} and the stores on it, which hand
 * out whole tables inside {@code first() .. first() + size() - 1}, may hold one.
 *
 * <p>An access by method, and not by a segment, lets the implementation keep its segment in a
 * constant: the compiled walk is then four loads, without the checks of a segment that it does not
 * know.
 */
public interface TableMemory {
    /** Address of the first byte: a multiple of 4096 and not 0. */
    long first();

    /** Number of bytes. All are 0 at the start, and none costs memory before it is written. */
    long size();

    /** The word at {@code address}; for the thread that writes the tables. */
    long get(long address);

    /** The word at {@code address}; later loads see what was written before it was. */
    long getAcquire(long address);

    /** Writes the word at {@code address}, after all that was written before. */
    void setRelease(long address, long value);

    /** Sets bytes to 0; not seen in any order by others. */
    void clear(long address, long bytes);
}
