// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.virtqueue.Allocation;
import org.junit.jupiter.api.Test;

/**
 * What mappings cost, that it is bounded, and that a table is not touched while somebody may read.
 */
final class TablePoolTest {
    private static final long PAGE = 0x1000;
    private static final long TABLE = TablePool.TABLE_BYTES;
    private static final long MIB2 = 1L << 21;
    private static final long LITTLE = 64 << 10;
    private static final int RW = READ | WRITE;

    private final Guards guards = new Guards(() -> 0, lease -> {});

    // Quota

    @Test
    void quotaBeyondTheMemoryIsRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new TablePool(new SegmentTables(TABLE), TABLE + 1, guards));
    }

    @Test
    void mapThatNeedsOneTableMoreThanTheQuotaIsRefusedAndTakesNone() {
        TablePool pool = pool(2);
        RadixStore store = new RadixStore(pool, 12);

        assertThat(store.map(0x10000, 0x10fff, 0, RW)).isEqualTo(MapResult.NO_MEMORY);

        assertThat(pool.tableBytes()).isZero();
        assertThat(store.size()).isZero();
        assertThat(store.lookup(0x10000, 1, new Extent())).isFalse();
    }

    @Test
    void mapThatNeedsExactlyTheQuotaIsDone() {
        TablePool pool = pool(3);

        assertThat(new RadixStore(pool, 12).map(0x10000, 0x10fff, 0, RW)).isEqualTo(MapResult.DONE);

        assertThat(pool.tableBytes()).isEqualTo(3 * TABLE).isEqualTo(pool.quotaBytes());
    }

    @Test
    void rangeAcrossTablesNeedsTablesForBothBordersOnly() {
        // From the last page of one leaf table into the first of another, a GiB in between: the
        // top for 512 GiB, two for a GiB and two leaf tables.
        TablePool refusing = pool(4);
        TablePool pool = pool(5);
        long first = (1L << 30) - PAGE;
        long last = (2L << 30) + PAGE - 1;

        assertThat(new RadixStore(refusing, 12).map(first, last, 0, RW))
                .isEqualTo(MapResult.NO_MEMORY);
        assertThat(new RadixStore(pool, 12).map(first, last, 0, RW)).isEqualTo(MapResult.DONE);

        assertThat(refusing.tableBytes()).isZero();
        assertThat(pool.tableBytes()).isEqualTo(5 * TABLE);
    }

    @Test
    void growingToTheTopCountsTheNewLevels() {
        TablePool pool = pool(10);
        RadixStore store = new RadixStore(pool, 12);
        assertThat(store.map(0, PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);

        // Three levels on top and five below the new top; one too many.
        assertThat(store.map(-PAGE, -1L, 0, RW)).isEqualTo(MapResult.NO_MEMORY);
        assertThat(pool.tableBytes()).isEqualTo(3 * TABLE);

        TablePool enough = pool(11);
        RadixStore other = new RadixStore(enough, 12);
        assertThat(other.map(0, PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);
        assertThat(other.map(-PAGE, -1L, 0, RW)).isEqualTo(MapResult.DONE);
        assertThat(enough.tableBytes()).isEqualTo(11 * TABLE);
    }

    @Test
    void overlapIsSaidBeforeLackOfMemory() {
        TablePool pool = pool(4);
        RadixStore store = new RadixStore(pool, 12);
        assertThat(store.map(0x10000, 0x10fff, 0, RW)).isEqualTo(MapResult.DONE);

        assertThat(store.map(0x10000, 1L << 40, 0, RW)).isEqualTo(MapResult.OVERLAPS);
        assertThat(store.map(1L << 40, (1L << 40) + PAGE - 1, 0, RW))
                .isEqualTo(MapResult.NO_MEMORY);
    }

    @Test
    void guestThatMapsAPagePerTableWithoutEndStaysWithinTheQuota() {
        TablePool pool = pool(256);
        RadixStore store = new RadixStore(pool, 12);
        long mapped = 0;
        while (store.map(mapped * MIB2, mapped * MIB2 + PAGE - 1, 0, RW) == MapResult.DONE) {
            mapped++;
        }

        assertThat(mapped).isBetween(240L, 256L);
        assertThat(pool.tableBytes()).isEqualTo(pool.quotaBytes());
        for (int i = 0; i < 1000; i++) {
            long at = (mapped + i) * MIB2;
            assertThat(store.map(at, at + PAGE - 1, 0, RW)).isEqualTo(MapResult.NO_MEMORY);
        }
        assertThat(pool.tableBytes()).isEqualTo(pool.quotaBytes());
        assertThat(store.size()).isEqualTo(mapped);

        assertThat(store.unmap(0, -1L)).isEqualTo(mapped);
        assertThat(pool.tableBytes()).isLessThanOrEqualTo(LITTLE);
        assertThat(store.map(0, PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);
    }

    @Test
    void mapAndUnmapOverManyTablesNeverHoldsMoreThanLittle() {
        TablePool pool = pool(64);
        RadixStore store = new RadixStore(pool, 12);
        // 2^27 slots of 2 MiB are all of 48 bits; odd steps reach every one of them.
        for (long i = 0; i < 2_000_000; i++) {
            long at = ((i * 0x9E3779B1L) & ((1L << 27) - 1)) * MIB2;
            assertDone(store.map(at, at + PAGE - 1, i * PAGE, RW));
            if (store.unmap(at, at + PAGE - 1) != 1 || pool.tableBytes() > LITTLE) {
                throw new AssertionError("at step " + i + ": " + pool.tableBytes() + " bytes");
            }
        }
        assertThat(store.size()).isZero();
    }

    private static void assertDone(MapResult result) {
        if (result != MapResult.DONE) {
            throw new AssertionError(result.toString());
        }
    }

    @Test
    void unmapPieceByPieceGivesBackAsMuchAsUnmapAtOnce() {
        TablePool pool = pool(1024);
        RadixStore store = new RadixStore(pool, 12);
        for (long i = 0; i < 500; i++) {
            store.map(i * MIB2 * 3, i * MIB2 * 3 + MIB2 + PAGE - 1, 0, RW);
        }
        for (long i = 499; i >= 0; i--) {
            assertThat(store.unmap(i * MIB2 * 3, i * MIB2 * 3 + MIB2 + PAGE - 1)).isEqualTo(1);
        }

        assertThat(pool.tableBytes()).isLessThanOrEqualTo(LITTLE);
    }

    @Test
    void manyStoresWithoutMappingsKeepOneChainAmongThem() {
        TablePool pool = pool(1024);
        List<RadixStore> stores = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            RadixStore store = new RadixStore(pool, 12);
            stores.add(store);
            assertThat(store.map(0x10000, 0x10fff, 0, RW)).isEqualTo(MapResult.DONE);
            assertThat(store.unmap(0x10000, 0x10fff)).isEqualTo(1);
        }

        assertThat(pool.tableBytes()).isLessThanOrEqualTo(6 * TABLE);
        assertThat(stores.getFirst().map(0x10000, 0x10fff, 0, RW)).isEqualTo(MapResult.DONE);
    }

    @Test
    void whatIsKeptIsGivenUpWhenAnotherStoreNeedsIt() {
        TablePool pool = pool(5);
        RadixStore one = new RadixStore(pool, 12);
        one.map(0x10000, 0x10fff, 0, RW);
        one.unmap(0x10000, 0x10fff);
        RadixStore other = new RadixStore(pool, 12);

        assertThat(other.map(0x10000, 0x10fff, 0, RW)).isEqualTo(MapResult.DONE);

        assertThat(pool.tableBytes()).isEqualTo(3 * TABLE);
    }

    @Test
    void closedStoreGivesEverythingBack() {
        TablePool pool = pool(64);
        RadixStore store = new RadixStore(pool, 12);
        store.map(0, PAGE - 1, 0, RW);
        store.map(1L << 50, (1L << 51) + PAGE - 1, 0, RW);

        store.close();

        assertThat(pool.tableBytes()).isZero();
        RadixStore next = new RadixStore(pool, 12);
        assertThat(next.map(0, PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);
        assertThat(next.overlaps(PAGE, -1L)).isFalse();
    }

    // Readers

    @Test
    void tableThatAReaderMayBeInIsNeitherFreeNorTouched() {
        SegmentTables memory = new SegmentTables(8 * TABLE);
        TablePool pool = new TablePool(memory, 8 * TABLE, guards);
        RadixStore store = new RadixStore(pool, 12);
        for (long at = 0; at < MIB2; at += PAGE) {
            store.map(at, at + PAGE - 1, at, RW);
        }
        Guard reader = guards.open();
        reader.enter();
        byte[] leafTable = table(memory, 2);

        assertThat(store.unmap(0, MIB2 - 1)).isEqualTo(512);
        assertThat(pool.tableBytes()).isEqualTo(3 * TABLE);
        store.map(1L << 40, (1L << 40) + PAGE - 1, 0, RW);

        assertThat(table(memory, 2)).isEqualTo(leafTable);
        assertThat(pool.tableBytes()).isGreaterThan(3 * TABLE);
        reader.leave();
        long before = pool.tableBytes();
        guards.poll();
        assertThat(pool.tableBytes()).isLessThan(before);
    }

    @Test
    void whatWaitsForReadersCountsAgainstTheQuota() {
        TablePool pool = pool(4);
        RadixStore store = new RadixStore(pool, 12);
        store.map(0, PAGE - 1, 0, RW);
        Guard reader = guards.open();
        reader.enter();
        assertThat(store.map(MIB2, MIB2 + PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);
        assertThat(store.unmap(MIB2, MIB2 + PAGE - 1)).isEqualTo(1);

        assertThat(store.map(2 * MIB2, 2 * MIB2 + PAGE - 1, 0, RW)).isEqualTo(MapResult.NO_MEMORY);
        reader.leave();
        guards.poll();

        assertThat(store.map(2 * MIB2, 2 * MIB2 + PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);
    }

    @Test
    void tableIsClearWhenItIsUsedAgain() {
        TablePool pool = pool(5);
        RadixStore store = new RadixStore(pool, 12);
        for (long at = 0; at < MIB2; at += PAGE) {
            store.map(at, at + PAGE - 1, at, RW);
        }
        store.unmap(0, MIB2 - 1);

        assertThat(store.map(MIB2 * 7, MIB2 * 7 + PAGE - 1, 0, RW)).isEqualTo(MapResult.DONE);

        assertThat(store.overlaps(0, MIB2 * 7 - 1)).isFalse();
        assertThat(store.overlaps(MIB2 * 7 + PAGE, -1L)).isFalse();
    }

    @Test
    void closedStoreStaysWholeForReadersThatAreInIt() {
        TablePool pool = pool(8);
        RadixStore store = new RadixStore(pool, 12);
        store.map(0x10000, 0x10fff, 0x5000, RW);
        Guard reader = guards.open();
        reader.enter();

        store.close();

        Extent found = new Extent();
        assertThat(store.lookup(0x10000, 1, found)).isTrue();
        assertThat(found.delta()).isEqualTo(0x5000 - 0x10000);
        assertThat(pool.tableBytes()).isEqualTo(3 * TABLE);
        reader.leave();
        guards.poll();
        assertThat(pool.tableBytes()).isZero();
    }

    // Garbage

    @Test
    void nothingIsAllocatedInSteadyState() {
        TablePool pool = pool(64);
        RadixStore store = new RadixStore(pool, 12);
        guards.open();
        Extent found = new Extent();
        store.map(0, PAGE - 1, 0, RW);
        int turns = 20_000;
        Runnable round =
                () -> {
                    for (int i = 0; i < turns; i++) {
                        long at = (1 + (i & 63)) * MIB2;
                        store.map(at, at + PAGE - 1, 0, RW);
                        store.map(at, at + PAGE - 1, 0, RW); // refused
                        store.lookup(at, 1, found);
                        store.lookup(at + PAGE, 1, found);
                        store.unmap(at, at + PAGE - 1);
                        store.map(at - PAGE, at + 3 * MIB2 - 1, 0, RW);
                        store.unmap(at, at + PAGE - 1); // refused
                        store.unmap(at - PAGE, at + 3 * MIB2 - 1);
                    }
                };

        // Less than a byte per turn: the JVM's own.
        assertThat(new Allocation().leastOf(20, round)).isLessThan(turns);
    }

    private TablePool pool(int tables) {
        return new TablePool(new SegmentTables(tables * TABLE), tables * TABLE, guards);
    }

    private static byte[] table(SegmentTables memory, int index) {
        byte[] all = memory.bytes();
        int first = (int) (memory.first() * Long.BYTES + index * TABLE);
        return Arrays.copyOfRange(all, first, first + (int) TABLE);
    }
}
