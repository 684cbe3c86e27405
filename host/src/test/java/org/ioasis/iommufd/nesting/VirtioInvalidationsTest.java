// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.DeviceCaches.NO_SPACE;
import static org.ioasis.iommufd.nesting.Recorder.WORD;
import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.host.Allocation;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.nesting.VirtioInvalidations.Naming;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What an INVALIDATE of virtio-iommu means, by PASID and by number of the architecture. */
class VirtioInvalidationsTest {
    private static final int ALL_TYPES = TYPE_IOTLB | TYPE_DEVICE_TLB | TYPE_PASID_CACHE;

    private final List<String> said = new ArrayList<>();
    private boolean isQuiet;

    private void say(String what, long... numbers) {
        StringBuilder line = new StringBuilder(what);
        for (long number : numbers) {
            line.append(' ').append(Long.toHexString(number));
        }
        said.add(line.toString());
    }

    private final VirtioInvalidations.Scopes scopes =
            new VirtioInvalidations.Scopes() {
                @Override
                public void translations(int domain, int space) {
                    if (!isQuiet) {
                        say("space", domain, space);
                    }
                }

                @Override
                public void translations(int domain, int space, long first, long last) {
                    if (!isQuiet) {
                        say("range", domain, space, first, last);
                    }
                }

                @Override
                public void tables(int domain, int pasid) {
                    if (!isQuiet) {
                        say("tables", domain, pasid);
                    }
                }

                @Override
                public void devices(int domain, int pasid, long first, long last) {
                    if (!isQuiet) {
                        say("devices", domain, pasid, first, last);
                    }
                }
            };

    private final VirtioInvalidations byPasid = new VirtioInvalidations(scopes, Naming.PASID);
    private final VirtioInvalidations byArchid = new VirtioInvalidations(scopes, Naming.ARCHID);

    private static MemorySegment request(int granularity, int type, int flags) {
        MemorySegment request = Arena.ofAuto().allocate(INVALIDATE_SIZE, 8);
        request.set(ValueLayout.JAVA_BYTE, INVALIDATE_HEAD, (byte) T_INVALIDATE);
        request.set(ValueLayout.JAVA_SHORT, INVALIDATE_GRANULARITY, (short) granularity);
        request.set(ValueLayout.JAVA_SHORT, INVALIDATE_TYPE, (short) type);
        request.set(ValueLayout.JAVA_SHORT, INVALIDATE_FLAGS, (short) flags);
        request.set(ValueLayout.JAVA_INT, INVALIDATE_DOMAIN, 6);
        request.set(ValueLayout.JAVA_INT, INVALIDATE_PASID, 0x54321);
        request.set(ValueLayout.JAVA_LONG, INVALIDATE_ARCHID, 0x9999);
        request.set(ValueLayout.JAVA_LONG, INVALIDATE_VIRT_START, 0x40_0000);
        request.set(ValueLayout.JAVA_LONG, INVALIDATE_NR_PAGES, 2);
        request.set(ValueLayout.JAVA_BYTE, INVALIDATE_GRANULE, (byte) 21);
        // The device's to write: whatever stands there.
        request.set(ValueLayout.JAVA_INT, INVALIDATE_TAIL, -1);
        return request;
    }

    private List<String> of(VirtioInvalidations decoder, MemorySegment request) {
        said.clear();
        assertThat(decoder.run(request, 0, INVALIDATE_SIZE, 1)).isEqualTo(Handled.all(1));
        return said;
    }

    private InvalidationRefusal refused(MemorySegment request) {
        said.clear();
        long handled = byPasid.run(request, 0, INVALIDATE_SIZE, 1);
        assertThat(Handled.done(handled)).isZero();
        assertThat(said).isEmpty();
        return requireNonNull(Handled.refusal(handled));
    }

    @Test
    @Tag("S30")
    void aDomainIsWholeAndTheSameForBoth() {
        MemorySegment request = request(GRANULARITY_DOMAIN, ALL_TYPES, FLAG_PASID | FLAG_ARCHID);
        List<String> expected =
                List.of(
                        "tables 6 ffffffffffffffff",
                        "space 6 ffffffffffffffff",
                        "devices 6 ffffffffffffffff 0 ffffffffffffffff");
        assertThat(of(byPasid, request)).isEqualTo(expected);
        assertThat(of(byArchid, request)).isEqualTo(expected);
    }

    @Test
    @Tag("S30")
    void aSpaceIsByPasidOrByTheNumberOfTheArchitectureAndADevicesByPasid() {
        MemorySegment request = request(GRANULARITY_PASID, ALL_TYPES, FLAG_PASID | FLAG_ARCHID);
        assertThat(of(byPasid, request))
                .containsExactly(
                        "tables 6 54321", "space 6 54321", "devices 6 54321 0 ffffffffffffffff");
        assertThat(of(byArchid, request))
                .containsExactly(
                        "tables 6 54321", "space 6 9999", "devices 6 54321 0 ffffffffffffffff");
        assertThat(refused(request(GRANULARITY_PASID, TYPE_IOTLB, 0)))
                .isEqualTo(InvalidationRefusal.VALUE);
    }

    @Test
    @Tag("S30")
    void aRangeIsInPagesOfItsGranule() {
        MemorySegment request =
                request(GRANULARITY_VA, TYPE_IOTLB | TYPE_DEVICE_TLB, FLAG_PASID | FLAG_LEAF);
        assertThat(of(byPasid, request))
                .containsExactly("range 6 54321 400000 7fffff", "devices 6 54321 400000 7fffff");
        assertThat(of(byArchid, request))
                .as("without a number of the architecture it is all spaces")
                .containsExactly(
                        "range 6 %x 400000 7fffff".formatted((long) NO_SPACE),
                        "devices 6 54321 400000 7fffff");
    }

    @Test
    void aRangeHasPagesBeginsWithOneAndDoesNotGoPastTheLastAddress() {
        MemorySegment last = request(GRANULARITY_VA, TYPE_IOTLB, FLAG_PASID);
        last.set(ValueLayout.JAVA_LONG, INVALIDATE_VIRT_START, -0x40_0000);
        assertThat(of(byPasid, last))
                .containsExactly("range 6 54321 ffffffffffc00000 ffffffffffffffff");
        last.set(ValueLayout.JAVA_LONG, INVALIDATE_NR_PAGES, 3);
        assertThat(refused(last)).isEqualTo(InvalidationRefusal.RANGE);
        last.set(ValueLayout.JAVA_LONG, INVALIDATE_NR_PAGES, 0);
        assertThat(refused(last)).isEqualTo(InvalidationRefusal.VALUE);
        MemorySegment all = request(GRANULARITY_VA, TYPE_IOTLB, FLAG_PASID);
        all.set(ValueLayout.JAVA_LONG, INVALIDATE_VIRT_START, 0);
        all.set(ValueLayout.JAVA_BYTE, INVALIDATE_GRANULE, (byte) 12);
        all.set(ValueLayout.JAVA_LONG, INVALIDATE_NR_PAGES, 1L << 52);
        assertThat(of(byPasid, all)).containsExactly("range 6 54321 0 ffffffffffffffff");
        all.set(ValueLayout.JAVA_LONG, INVALIDATE_NR_PAGES, (1L << 52) + 1);
        assertThat(refused(all)).isEqualTo(InvalidationRefusal.RANGE);
        for (int granule : new int[] {0, 11, 64, 255}) {
            all.set(ValueLayout.JAVA_BYTE, INVALIDATE_GRANULE, (byte) granule);
            assertThat(refused(all)).isEqualTo(InvalidationRefusal.VALUE);
        }
        MemorySegment odd = request(GRANULARITY_VA, TYPE_IOTLB, FLAG_PASID);
        odd.set(ValueLayout.JAVA_LONG, INVALIDATE_VIRT_START, 0x41_0000);
        assertThat(refused(odd)).isEqualTo(InvalidationRefusal.ALIGNMENT);
    }

    @Test
    void whatIsReservedOrUnknownIsRefused() {
        int refused = 0;
        for (int at : new int[] {1, 2, 3, 10, 11, 20, 21, 22, 23, 49, 52, 55, 56, 59}) {
            MemorySegment request = request(GRANULARITY_DOMAIN, TYPE_IOTLB, 0);
            request.set(ValueLayout.JAVA_BYTE, at, (byte) 1);
            assertThat(refused(request)).as("byte %d", at).isNotNull();
            refused++;
        }
        assertThat(refused).isEqualTo(14);
        assertThat(refused(request(3, TYPE_IOTLB, 0))).isEqualTo(InvalidationRefusal.VALUE);
        assertThat(refused(request(GRANULARITY_DOMAIN, 0, 0))).isEqualTo(InvalidationRefusal.VALUE);
        assertThat(refused(request(GRANULARITY_DOMAIN, 8, 0))).isEqualTo(InvalidationRefusal.VALUE);
        assertThat(refused(request(GRANULARITY_DOMAIN, TYPE_IOTLB, 8)))
                .isEqualTo(InvalidationRefusal.VALUE);
        assertThat(refused(request(GRANULARITY_VA, TYPE_PASID_CACHE, FLAG_PASID)))
                .isEqualTo(InvalidationRefusal.VALUE);
        MemorySegment wide = request(GRANULARITY_PASID, TYPE_IOTLB, FLAG_PASID);
        wide.set(ValueLayout.JAVA_INT, INVALIDATE_PASID, 1 << 20);
        assertThat(refused(wide)).isEqualTo(InvalidationRefusal.VALUE);
        MemorySegment wideAsid = request(GRANULARITY_PASID, TYPE_IOTLB, FLAG_ARCHID);
        wideAsid.set(ValueLayout.JAVA_LONG, INVALIDATE_ARCHID, 1 << 16);
        assertThat(refused(wideAsid)).isEqualTo(InvalidationRefusal.VALUE);
        MemorySegment other = request(GRANULARITY_DOMAIN, TYPE_IOTLB, 0);
        other.set(ValueLayout.JAVA_BYTE, INVALIDATE_HEAD, (byte) T_ATTACH_TABLE);
        assertThat(refused(other)).isEqualTo(InvalidationRefusal.TYPE);
    }

    @Test
    void aBatchAllocatesNothing() {
        MemorySegment array = Arena.ofAuto().allocate(16L * INVALIDATE_SIZE, 8);
        for (int i = 0; i < 16; i++) {
            MemorySegment.copy(
                    request(1 << i % 3, TYPE_IOTLB | TYPE_DEVICE_TLB, FLAG_PASID),
                    0,
                    array,
                    (long) i * INVALIDATE_SIZE,
                    INVALIDATE_SIZE);
        }
        isQuiet = true;
        assertThat(Allocation.ofCompiled(() -> byPasid.run(array, 0, INVALIDATE_SIZE, 16)))
                .isZero();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whateverARequestIsItIsDoneWholeOrRefusedWithoutEffect(long seed) {
        Random random = new Random(seed);
        int done = 0;
        int refused = 0;
        for (int i = 0; i < 100_000; i++) {
            MemorySegment request =
                    request(
                            1 << random.nextInt(3),
                            1 + random.nextInt(7),
                            FLAG_PASID | random.nextInt(8));
            for (int change = random.nextInt(4); change > 0; change--) {
                long at = 8L * random.nextInt(8);
                long bit = 1L << random.nextInt(64);
                request.set(WORD, at, request.get(WORD, at) ^ bit);
            }
            said.clear();
            long handled = byPasid.run(request, 0, INVALIDATE_SIZE, 1);
            if (Handled.refusal(handled) == null) {
                int type = request.get(ValueLayout.JAVA_SHORT, INVALIDATE_TYPE);
                assertThat(said).hasSize(Integer.bitCount(type));
                done++;
            } else {
                assertThat(said).isEmpty();
                refused++;
            }
        }
        assertThat(done).isGreaterThan(10_000);
        assertThat(refused).isGreaterThan(10_000);
    }
}
