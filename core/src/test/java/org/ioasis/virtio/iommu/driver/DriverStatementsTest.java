// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.groups.Tuple.tuple;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.driver.Permission.READ;
import static org.ioasis.virtio.iommu.driver.Permission.READ_WRITE;
import static org.ioasis.virtio.iommu.driver.Permission.WRITE;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.join;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.properties;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.property;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.region;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.ioasis.virtio.iommu.driver.ScriptedDevice.ConfigWrite;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The statements for drivers (virtio 1.4, 5.13), by what reaches a device that keeps it all. */
class DriverStatementsTest {
    private static final int ENDPOINT = 7;

    private final ScriptedDevice device = new ScriptedDevice();

    /** A domain of ordinary mappings with one endpoint in it. */
    private static DriverDomain attached(IommuDriver driver) throws DriverException {
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        return domain;
    }

    // --- features and configuration

    @Tag("R-01")
    @Test
    void rangesAndProbeAreAccepted() throws Exception {
        device.driver();

        assertThat(device.accepted & (F_INPUT_RANGE | F_DOMAIN_RANGE | F_PROBE))
                .isEqualTo(F_INPUT_RANGE | F_DOMAIN_RANGE | F_PROBE);
        assertThat(device.accepted & F_BYPASS).as("the old one").isZero();
    }

    @Tag("R-02")
    @Tag("R-03")
    @Tag("R-04")
    @Test
    void bypassAloneIsWritten() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain domain = attached(driver);
        domain.map(0x1000, 0x1fff, 0x8000, READ);

        driver.bypass(false);
        assertThat(driver.bypass()).isFalse();
        driver.bypass(true);
        driver.reset();
        driver.stop();

        assertThat(device.configWrites)
                .containsExactly(
                        new ConfigWrite(CONFIG_BYPASS, 1, 0), new ConfigWrite(CONFIG_BYPASS, 1, 1));
    }

    @Tag("R-02")
    @Test
    void bypassIsNotWrittenUnlessItIsNegotiated() throws Exception {
        device.offered &= ~F_BYPASS_CONFIG;
        IommuDriver driver = device.driver();

        assertThatThrownBy(() -> driver.bypass(true)).isInstanceOf(IllegalStateException.class);

        assertThat(device.configWrites).isEmpty();
    }

    @Tag("R-05")
    @Test
    void otherBitsOfBypassSayNothing() throws Exception {
        IommuDriver driver = device.driver();

        device.config.put(CONFIG_BYPASS, (byte) 0xfe);
        assertThat(driver.bypass()).isFalse();
        device.config.put(CONFIG_BYPASS, (byte) 0x81);
        assertThat(driver.bypass()).isTrue();
    }

    @Tag("R-06")
    @Test
    void withoutMapUnmapNothingIsMapped() throws Exception {
        IommuDriver driver =
                device.driver(
                        DriverOptions.DEFAULT.withFeatures(
                                DriverOptions.DEFAULT.wanted() & ~F_MAP_UNMAP, 0));
        DriverDomain domain = attached(driver);

        assertThat(device.accepted & F_MAP_UNMAP).isZero();
        assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0, READ))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> domain.unmap(0x1000, 0x1fff))
                .isInstanceOf(IllegalStateException.class);
        driver.attach(driver.bypassDomain(), 8);
        assertThat(device.types()).containsExactly(T_ATTACH, T_ATTACH);
    }

    // --- requests

    @Tag("R-08")
    @Tag("R-13")
    @Tag("R-17")
    @Tag("R-18")
    @Tag("R-25")
    @Tag("R-32")
    @Test
    void reservedBytesAreZero() throws Exception {
        // Slots that were used before hold other requests.
        for (int round = 0; round < 3; round++) {
            IommuDriver driver = device.driver();
            for (Permission permission : Permission.values()) {
                DriverDomain domain = attached(driver);
                domain.map(-4096, -1, 0xfff000, permission);
                domain.unmap(-4096, -1);
                driver.detach(ENDPOINT);
            }
        }

        assertThat(device.requests).hasSize(3 * (1 + 3 * 4));
        for (byte[] bytes : device.requests) {
            ByteBuffer request = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
            assertThat(bytes[1] | bytes[2] | bytes[3]).as("head").isZero();
            switch (bytes[0]) {
                case T_ATTACH -> {
                    assertThat(bytes).hasSize(ATTACH_SIZE);
                    assertThat(request.getInt(ATTACH_FLAGS) & ~ATTACH_F_BYPASS).isZero();
                    assertThat(request.getInt(ATTACH_RESERVED)).isZero();
                }
                case T_DETACH -> {
                    assertThat(bytes).hasSize(DETACH_SIZE);
                    assertThat(request.getLong(12)).isZero();
                }
                case T_MAP -> {
                    assertThat(bytes).hasSize(MAP_SIZE);
                    int defined = MAP_F_READ | MAP_F_WRITE | MAP_F_MMIO;
                    assertThat(request.getInt(MAP_FLAGS) & ~defined).isZero();
                }
                case T_UNMAP -> {
                    assertThat(bytes).hasSize(UNMAP_SIZE);
                    assertThat(request.getInt(UNMAP_RESERVED)).isZero();
                }
                case T_PROBE -> {
                    assertThat(bytes).hasSize(PROBE_SIZE);
                    for (int i = 8; i < PROBE_SIZE; i++) {
                        assertThat(bytes[i]).isZero();
                    }
                }
                default -> throw new AssertionError("type " + bytes[0]);
            }
        }
    }

    @Tag("R-09")
    @Test
    void reservedOfTheTailSaysNothing() throws Exception {
        device.answers =
                request -> {
                    byte[] answer = ScriptedDevice.ok(request);
                    answer[answer.length - 3] = 1;
                    answer[answer.length - 2] = (byte) 0xff;
                    answer[answer.length - 1] = 7;
                    return answer;
                };

        DriverDomain domain = attached(device.driver());
        domain.map(0x1000, 0x1fff, 0, READ);

        assertThat(domain.mappingCount()).isOne();
    }

    @Tag("R-10")
    @Test
    void anAnswerThatIsTooShortIsAFailure() throws Exception {
        for (int length = 0; length < TAIL_SIZE; length++) {
            ScriptedDevice each = new ScriptedDevice();
            IommuDriver driver = each.driver();
            DriverDomain domain = attached(driver);
            byte[] answer = new byte[length];
            each.answers = _ -> answer;

            assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0, READ))
                    .isInstanceOfSatisfying(
                            RefusedException.class,
                            refused ->
                                    assertThat(refused.status())
                                            .isEqualTo(RefusedException.NOT_ANSWERED));
            assertThat(domain.mappingCount()).isZero();
            assertThatThrownBy(() -> driver.detach(ENDPOINT)).isInstanceOf(RefusedException.class);
            assertThat(driver.domainOf(ENDPOINT)).isSameAs(domain);
            assertThat(driver.counts().unanswered()).isEqualTo(2);
        }
    }

    @Tag("R-10")
    @Test
    void aProbeThatDoesNotReachItsTailIsAFailure() throws Exception {
        // As QEMU answers what it refuses: the tail at the beginning, and a length of 4.
        device.answers = _ -> new byte[] {0, 0, 0, 0};
        IommuDriver driver = device.driver();

        assertThatThrownBy(() -> driver.probe(ENDPOINT))
                .isInstanceOfSatisfying(
                        RefusedException.class,
                        refused ->
                                assertThat(refused.status())
                                        .isEqualTo(RefusedException.NOT_ANSWERED));
        assertThatThrownBy(() -> attached(driver)).isInstanceOf(RefusedException.class);
        assertThat(device.types()).as("no ATTACH without what PROBE tells").isEmpty();
    }

    @Tag("R-11")
    @Test
    void rangesOutsideTheInputRangeAreNotSent() throws Exception {
        device.config.putLong(CONFIG_INPUT_START, 0x10000);
        device.config.putLong(CONFIG_INPUT_END, 0xfffff);
        DriverDomain domain = attached(device.driver());

        domain.map(0x10000, 0x10fff, 0, READ);
        domain.map(0xff000, 0xfffff, 0, READ);
        for (long[] range :
                new long[][] {{0xf000, 0xffff}, {0x10_0000, 0x10_0fff}, {-4096, -1}, {0, 0xfff}}) {
            assertThatThrownBy(() -> domain.map(range[0], range[1], 0, READ))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        // One that begins inside and ends outside, and the other way round.
        domain.unmap(0x10000, 0xfffff);
        assertThatThrownBy(() -> domain.map(0xff000, 0x10_0fff, 0, READ))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> domain.map(0xf000, 0x10fff, 0, READ))
                .isInstanceOf(IllegalArgumentException.class);

        assertThat(device.types()).containsExactly(T_ATTACH, T_MAP, T_MAP, T_UNMAP);
    }

    @Tag("R-12")
    @Test
    void domainsAreInTheirRangeAlsoWhenLeft() throws Exception {
        device.config.putInt(CONFIG_DOMAIN_START, 0x8000_0005);
        device.config.putInt(CONFIG_DOMAIN_END, 0x8000_0006);
        IommuDriver driver = device.driver();
        DriverDomain bypass = driver.bypassDomain();
        DriverDomain mapped = driver.domain();

        assertThatThrownBy(driver::domain).isInstanceOf(DriverException.class);
        driver.attach(bypass, ENDPOINT);
        driver.detach(ENDPOINT);
        driver.attach(mapped, ENDPOINT);
        mapped.map(0x1000, 0x1fff, 0, READ);
        mapped.unmap(0x1000, 0x1fff);
        driver.detach(ENDPOINT);
        driver.close(mapped);
        driver.attach(driver.domain(), ENDPOINT);

        List<Integer> ids = new ArrayList<>();
        for (int type : new int[] {T_ATTACH, T_DETACH, T_MAP, T_UNMAP}) {
            device.of(type).forEach(each -> ids.add(each.getInt(ATTACH_DOMAIN)));
        }
        assertThat(ids).hasSize(7).allSatisfy(id -> assertThat(id).isIn(0x8000_0005, 0x8000_0006));
        assertThat(device.of(T_DETACH).getFirst().getInt(DETACH_DOMAIN)).isEqualTo(bypass.id());
    }

    @Tag("R-15")
    @Tag("R-16")
    @Test
    void theBypassFlagIsThatOfTheDomain() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain bypass = driver.bypassDomain();
        DriverDomain mapped = driver.domain();

        driver.attach(bypass, 1);
        driver.attach(bypass, 2);
        driver.attach(mapped, 3);
        driver.attach(mapped, 1);

        assertThat(device.of(T_ATTACH))
                .extracting(each -> each.getInt(ATTACH_FLAGS))
                .containsExactly(ATTACH_F_BYPASS, ATTACH_F_BYPASS, 0, 0);
    }

    @Tag("R-19")
    @Tag("R-30")
    @Test
    void nothingIsMappedInABypassDomain() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain bypass = driver.bypassDomain();
        driver.attach(bypass, ENDPOINT);

        assertThatThrownBy(() -> bypass.map(0x1000, 0x1fff, 0, READ))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> bypass.unmap(0, -1)).isInstanceOf(IllegalStateException.class);

        assertThat(device.types()).containsExactly(T_ATTACH);
    }

    @Tag("R-14")
    @Test
    void aGroupIsInOneDomain() throws Exception {
        IommuDriver driver = device.driver();
        driver.group(List.of(1, 2, 3));
        DriverDomain first = driver.domain();
        DriverDomain second = driver.domain();

        driver.attach(first, 2);
        assertThat(first.endpoints()).containsExactly(1, 2, 3);
        driver.attach(second, 3);
        assertThat(second.endpoints()).containsExactly(1, 2, 3);
        assertThat(first.endpoints()).isEmpty();
        driver.detach(1);
        assertThat(second.endpoints()).isEmpty();
        assertThat(device.of(T_DETACH)).hasSize(3);
    }

    @Tag("R-14")
    @Test
    void ifOneOfAGroupIsRefusedAllAreWhereTheyWere() throws Exception {
        IommuDriver driver = device.driver();
        driver.group(List.of(1, 2, 3));
        DriverDomain first = driver.domain();
        driver.attach(first, 1);
        first.map(0x1000, 0x1fff, 0x8000, READ);
        DriverDomain second = driver.domain();
        device.answers =
                request -> {
                    ByteBuffer bytes =
                            ByteBuffer.wrap(request.readable()).order(ByteOrder.LITTLE_ENDIAN);
                    boolean isThird =
                            bytes.get(0) == T_ATTACH
                                    && bytes.getInt(ATTACH_ENDPOINT) == 3
                                    && bytes.getInt(ATTACH_DOMAIN) == second.id();
                    return ScriptedDevice.status(request, isThird ? S_UNSUPP : S_OK);
                };

        assertThatThrownBy(() -> driver.attach(second, 1))
                .isInstanceOfSatisfying(
                        RefusedException.class,
                        refused -> assertThat(refused.status()).isEqualTo(S_UNSUPP));

        assertThat(first.endpoints()).containsExactly(1, 2, 3);
        assertThat(second.endpoints()).isEmpty();
        // The third was taken out for certain and came back to a domain that had begun anew.
        assertThat(device.of(T_MAP)).hasSize(2);
    }

    // --- MAP

    @Tag("R-20")
    @Test
    void aMappingHasTwoBytesAtLeast() throws Exception {
        device.config.putLong(CONFIG_PAGE_SIZE_MASK, -1);
        DriverDomain domain = attached(device.driver());

        for (long[] range : new long[][] {{5, 5}, {5, 4}, {-1, 0}, {0, 0}, {-1, -1}}) {
            assertThatThrownBy(() -> domain.map(range[0], range[1], 0, READ))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        domain.map(5, 6, 0, READ);

        assertThat(device.of(T_MAP)).hasSize(1);
    }

    @Test
    void whatIsNotAlignedOrWrapsIsNotSent() throws Exception {
        DriverDomain domain = attached(device.driver());

        for (long[] map :
                new long[][] {
                    {1, 0x1000, 0}, {0, 0xffe, 0}, {0, 0xfff, 8}, {0, 0x1fff, -4096}, {0, -1, 4096}
                }) {
            assertThatThrownBy(() -> domain.map(map[0], map[1], map[2], READ))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        domain.map(0, -1, 0, READ);

        assertThat(device.of(T_MAP)).hasSize(1);
    }

    @Tag("R-23")
    @Tag("R-18")
    @Test
    void readsThatAreMeantAreAsked() throws Exception {
        DriverDomain domain = attached(device.driver());

        domain.map(0x1000, 0x1fff, 0, READ);
        domain.map(0x2000, 0x2fff, 0, WRITE);
        domain.map(0x3000, 0x3fff, 0, READ_WRITE);

        assertThat(device.of(T_MAP))
                .extracting(each -> each.getInt(MAP_FLAGS))
                .containsExactly(MAP_F_READ, MAP_F_WRITE, MAP_F_READ | MAP_F_WRITE);
    }

    @Tag("R-21")
    @Tag("R-22")
    @Test
    void registersAreMappedAsSuchAndNothingElseIs() throws Exception {
        Range registers = new Range(0x10_0000, 0x10_ffff);
        DriverDomain domain =
                attached(device.driver(DriverOptions.DEFAULT.withRegisters(registers)));

        domain.map(0x1000, 0x1fff, 0x10_f000, READ_WRITE);
        domain.map(0x2000, 0x2fff, 0x11_0000, READ_WRITE);
        domain.map(0x3000, 0x3fff, 0xf_f000, READ_WRITE);
        for (long output : new long[] {0xf_f000, 0x10_f000}) {
            assertThatThrownBy(() -> domain.map(0x10000, 0x11fff, output, READ))
                    .isInstanceOf(IllegalArgumentException.class);
        }

        assertThat(device.of(T_MAP))
                .extracting(each -> each.getInt(MAP_FLAGS) & MAP_F_MMIO)
                .containsExactly(MAP_F_MMIO, 0, 0);
    }

    @Tag("R-24")
    @Test
    void registersAreNotMappedWithoutTheFeature() throws Exception {
        device.offered &= ~F_MMIO;
        DriverDomain domain =
                attached(
                        device.driver(
                                DriverOptions.DEFAULT.withRegisters(
                                        new Range(0x10_0000, 0x10_ffff))));

        assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0x10_0000, READ))
                .isInstanceOf(IllegalArgumentException.class);

        assertThat(device.types()).containsExactly(T_ATTACH);
    }

    // --- UNMAP

    @Tag("R-26")
    @Tag("R-27")
    @Test
    void unmapCoversWholeMappingsAndMayGoOverHoles() throws Exception {
        DriverDomain domain = attached(device.driver());
        domain.map(0x1000, 0x2fff, 0, READ);
        domain.map(0x3000, 0x3fff, 0, READ);
        domain.map(0x8000, 0x8fff, 0, READ);

        domain.unmap(0x1000, 0x3fff);
        assertThat(domain.mappingCount()).isOne();
        domain.unmap(0x5000, 0x9fff);
        assertThat(domain.mappingCount()).isZero();
        domain.unmap(0, -1);

        assertThat(device.of(T_UNMAP))
                .extracting(
                        each -> each.getLong(UNMAP_VIRT_START),
                        each -> each.getLong(UNMAP_VIRT_END))
                .containsExactly(tuple(0x1000L, 0x3fffL), tuple(0x5000L, 0x9fffL));
    }

    @Tag("R-28")
    @Tag("R-29")
    @Test
    void unmapBeginsAndEndsInNoMapping() throws Exception {
        DriverDomain domain = attached(device.driver());
        domain.map(0x1000, 0x3fff, 0, READ);
        domain.map(-0x3000, -1, 0, READ);

        for (long[] range :
                new long[][] {
                    {0x2000, 0x3fff},
                    {0x1000, 0x2fff},
                    {0x2000, 0x2fff},
                    {0, 0x1fff},
                    {0x3000, 0x4fff},
                    {-0x2000, -1},
                    {-0x3000, -2},
                    {0x1000, -2}
                }) {
            assertThatThrownBy(() -> domain.unmap(range[0], range[1]))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        assertThat(device.of(T_UNMAP)).isEmpty();

        domain.unmap(0, -1);
        assertThat(device.of(T_UNMAP)).hasSize(1);
        assertThat(domain.mappingCount()).isZero();
    }

    // --- PROBE

    @Tag("R-07")
    @Test
    void eachEndpointIsProbedBeforeItIsAttached() throws Exception {
        IommuDriver driver = device.driver();
        driver.group(List.of(1, 2));
        DriverDomain domain = driver.domain();

        driver.attach(domain, 1);
        driver.attach(domain, 3);
        driver.attach(driver.domain(), 3);
        driver.reset();

        List<String> order = new ArrayList<>();
        for (byte[] request : device.requests) {
            ByteBuffer bytes = ByteBuffer.wrap(request).order(ByteOrder.LITTLE_ENDIAN);
            boolean isProbe = request[0] == T_PROBE;
            order.add(
                    (isProbe ? "P" : "A")
                            + bytes.getInt(isProbe ? PROBE_ENDPOINT : ATTACH_ENDPOINT));
        }
        assertThat(order)
                .containsExactly(
                        "P1", "P2", "A1", "A2", "P3", "A3", "A3", "P1", "P2", "A1", "A2", "P3",
                        "A3");
    }

    @Tag("R-31")
    @Test
    void propertiesHaveExactlyProbeSize() throws Exception {
        device.config.putInt(CONFIG_PROBE_SIZE, 72);
        device.isSilent = true;
        IommuDriver driver = device.driver();

        assertThatThrownBy(() -> driver.probe(ENDPOINT)).isInstanceOf(DriverException.class);

        assertThat(device.taken).hasSize(1);
        assertThat(device.taken.getFirst().room()).isEqualTo(72 + TAIL_SIZE);
    }

    @Tag("R-33")
    @Tag("R-34")
    @Tag("R-35")
    @Tag("R-36")
    @Test
    void whatIsNotKnownIsSkippedByItsLength() throws Exception {
        byte[] reserved = region(RESV_MEM_T_RESERVED, 0, 0x5000, 0x5fff);
        // The same with a bit of the type that is reserved.
        byte[] later = region(RESV_MEM_T_RESERVED, 0, 0x6000, 0x6fff);
        later[1] = 0x10;
        // A known one with more behind what is known.
        byte[] longer = property(PROBE_T_RESV_MEM, 24, new byte[24]);
        ByteBuffer.wrap(longer)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(RESV_MEM_START, 0x8000)
                .putLong(RESV_MEM_END, 0x8fff);
        device.answers =
                properties(
                        join(
                                property(0x7ff, 6, new byte[6]),
                                later,
                                property(2, 0, new byte[0]),
                                longer,
                                reserved));

        EndpointInfo info = device.driver().probe(ENDPOINT);

        assertThat(info.reserved())
                .containsExactly(new Range(0x8000, 0x8fff), new Range(0x5000, 0x5fff));
        assertThat(info.ignoredProperties()).isEqualTo(3);
    }

    @Tag("R-37")
    @Test
    void reservedAndMsiAddressesAreNotMapped() throws Exception {
        device.answers =
                properties(
                        join(
                                region(RESV_MEM_T_RESERVED, 0, 0x5000, 0x5fff),
                                region(RESV_MEM_T_MSI, 0, 0xfee0_0000L, 0xfeef_ffffL)));
        IommuDriver driver = device.driver();
        DriverDomain domain = attached(driver);

        for (long[] range :
                new long[][] {
                    {0x5000, 0x5fff},
                    {0x4000, 0x5fff},
                    {0x5000, 0x6fff},
                    {0, -1},
                    {0xfeef_f000L, 0xfeef_ffffL}
                }) {
            assertThatThrownBy(() -> domain.map(range[0], range[1], 0, READ))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        domain.map(0x4000, 0x4fff, 0, READ);
        domain.map(0x6000, 0x6fff, 0, READ);

        assertThat(device.of(T_MAP)).hasSize(2);
        assertThat(driver.probe(ENDPOINT).msi()).isEqualTo(new Range(0xfee0_0000L, 0xfeef_ffffL));
    }

    @Tag("R-37")
    @Test
    void anEndpointDoesNotJoinADomainThatMapsWhatIsReservedForIt() throws Exception {
        device.answers = properties(region(RESV_MEM_T_RESERVED, 0, 0x5000, 0x5fff));
        IommuDriver driver = device.driver();
        DriverDomain domain = driver.domain();
        domain.map(0x4000, 0x5fff, 0, READ);

        assertThatThrownBy(() -> driver.attach(domain, ENDPOINT))
                .isInstanceOf(DriverException.class);

        assertThat(device.types()).isEmpty();
        assertThat(driver.domainOf(ENDPOINT)).isNull();
    }

    @Tag("R-38")
    @Tag("R-39")
    @Test
    void aRegionOfAnUnknownKindIsReserved() throws Exception {
        device.answers = properties(region(0x77, 0xff, 0x5000, 0x5fff));
        IommuDriver driver = device.driver();
        DriverDomain domain = attached(driver);

        assertThat(driver.probe(ENDPOINT))
                .isEqualTo(new EndpointInfo(List.of(new Range(0x5000, 0x5fff)), null, 0));
        assertThatThrownBy(() -> domain.map(0x5000, 0x5fff, 0, READ))
                .isInstanceOf(IllegalArgumentException.class);
    }

    // --- faults

    private static byte[] fault(int reason, int reserved, int flags, int reserved1) {
        return ByteBuffer.allocate(FAULT_SIZE)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(reason | reserved << 8)
                .putInt(flags)
                .putInt(ENDPOINT)
                .putInt(reserved1)
                .putLong(0xabcd_0000L)
                .array();
    }

    private List<FaultReport> reported(byte[] report) throws DriverException {
        List<FaultReport> told = new ArrayList<>();
        IommuDriver driver = device.driver();
        driver.onFault(told::add);
        device.event(report, report.length);
        assertThat(driver.pollEvents()).isOne();
        assertThat(driver.counts().ignoredEvents()).isEqualTo(1 - told.size());
        assertThat(device.eventBuffers()).as("filled again").isEqualTo(256);
        return told;
    }

    @Tag("R-40")
    @Test
    void aFaultWithReservedSetIsIgnored() throws Exception {
        for (int reserved : new int[] {1, 0x100, 0x80_0000}) {
            assertThat(reported(fault(FAULT_R_MAPPING, reserved, FAULT_F_READ, 0))).isEmpty();
        }
    }

    @Tag("R-41")
    @Test
    void reserved1OfAFaultSaysNothing() throws Exception {
        assertThat(reported(fault(FAULT_R_DOMAIN, 0, FAULT_F_READ, -1)))
                .containsExactly(
                        new FaultReport(
                                FaultReport.Reason.DOMAIN, ENDPOINT, true, false, false, 0));
    }

    @Tag("R-42")
    @Test
    void undefinedFlagsOfAFaultSayNothing() throws Exception {
        int undefined = ~(FAULT_F_READ | FAULT_F_WRITE | FAULT_F_ADDRESS);
        assertThat(reported(fault(FAULT_R_MAPPING, 0, undefined, 0)))
                .containsExactly(
                        new FaultReport(
                                FaultReport.Reason.MAPPING, ENDPOINT, false, false, false, 0));
        assertThat(reported(fault(FAULT_R_MAPPING, 0, -1, 0)))
                .containsExactly(
                        new FaultReport(
                                FaultReport.Reason.MAPPING,
                                ENDPOINT,
                                true,
                                true,
                                true,
                                0xabcd_0000L));
    }

    @Tag("R-43")
    @Test
    void anUnknownReasonIsUnknown() throws Exception {
        for (int reason : new int[] {FAULT_R_UNKNOWN, 3, 0x7f, 0xff}) {
            assertThat(reported(fault(reason, 0, FAULT_F_WRITE, 0)))
                    .containsExactly(
                            new FaultReport(
                                    FaultReport.Reason.UNKNOWN, ENDPOINT, false, true, false, 0));
        }
    }
}
