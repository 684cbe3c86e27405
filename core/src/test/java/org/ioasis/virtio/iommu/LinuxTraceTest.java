// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.memory.Access;
import org.ioasis.virtio.iommu.DeviceModel.Endpoint;
import org.ioasis.virtio.iommu.DeviceModel.Kind;
import org.ioasis.virtio.iommu.DeviceModel.Setup;
import org.ioasis.virtio.iommu.DeviceModel.Window;
import org.ioasis.virtio.iommu.Step.Ask;
import org.ioasis.virtio.iommu.Step.Restart;
import org.ioasis.virtio.iommu.Step.Touch;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What Linux has asked of the device is asked again beside the model, over either kind of ring, and
 * what it has mapped is touched. The trace was recorded by {@code ./ioasis vm --strict --trace
 * FILE}: start of the guest, a file system, copies and the end, without the column of times.
 */
class LinuxTraceTest {
    private static final String TRACE = "linux-strict.trace";
    private static final Pattern STARTED = Pattern.compile(".* started, features 0x(\\p{XDigit}+)");
    private static final Pattern REQUEST =
            Pattern.compile(".* (ATTACH|DETACH|MAP|UNMAP|PROBE) (.*) -> (\\w+)(?:: .*)?");
    private static final Pattern NUMBER = Pattern.compile("0x(\\p{XDigit}+)");

    private static final List<Window> MSI =
            List.of(new Window(0xfee0_0000L, 0xfeef_ffffL, Kind.MSI));

    /** Every so many mappings one is touched, before and after it is unmapped. */
    private static final int TOUCHED = 5;

    private final List<Step> steps = new ArrayList<>();
    private final Map<Integer, Integer> endpointOfDomain = new HashMap<>();
    private final TreeMap<Integer, Endpoint> endpoints = new TreeMap<>();
    private RingFormat ring = RingFormat.SPLIT;
    private int requests;
    private int refused;
    private int maps;

    private static List<String> lines() throws IOException {
        try (InputStream trace = requireNonNull(LinuxTraceTest.class.getResourceAsStream(TRACE))) {
            return new String(trace.readAllBytes(), UTF_8).lines().toList();
        }
    }

    private static List<Long> numbers(String text) {
        List<Long> numbers = new ArrayList<>();
        Matcher number = NUMBER.matcher(text);
        while (number.find()) {
            numbers.add(Long.parseUnsignedLong(number.group(1), 16));
        }
        return numbers;
    }

    private void read(String line) {
        Matcher started = STARTED.matcher(line);
        if (started.matches()) {
            long features = Long.parseUnsignedLong(started.group(1), 16);
            steps.add(new Restart(features & VirtioIommuDevice.FEATURES, true, ring, false));
            return;
        }
        Matcher request = REQUEST.matcher(line);
        if (request.matches()) {
            requests++;
            refused += request.group(3).equals("OK") ? 0 : 1;
            ask(request.group(1), request.group(2), numbers(request.group(2)));
        }
    }

    private void ask(String type, String text, List<Long> of) {
        int first = of.getFirst().intValue();
        switch (type) {
            case "PROBE" -> {
                endpoints.put(first, new Endpoint(-1L, 0, -1L, MSI, MSI));
                ask(Driver.probe(first), VirtioIommuDevice.PROPERTIES_SIZE + TAIL_SIZE);
            }
            case "ATTACH" -> {
                int domain = of.get(1).intValue();
                endpointOfDomain.put(domain, first);
                ask(Driver.attach(first, domain, 0), TAIL_SIZE);
            }
            case "DETACH" -> ask(Driver.detach(first, of.get(1).intValue()), TAIL_SIZE);
            case "MAP" -> {
                int flags = (text.contains("READ") ? 1 : 0) | (text.contains("WRITE") ? 2 : 0);
                ask(Driver.map(first, of.get(1), of.get(2), of.get(3), flags), TAIL_SIZE);
                maps++;
                touch(first, of.get(1), of.get(2));
            }
            case "UNMAP" -> {
                ask(Driver.unmap(first, of.get(1), of.get(2)), TAIL_SIZE);
                touch(first, of.get(1), of.get(2));
            }
            default -> throw new IllegalArgumentException(text);
        }
    }

    private void ask(byte[] request, int writable) {
        steps.add(new Ask(request, writable, Layout.INDIRECT, 128, 1024, false));
    }

    private void touch(int domain, long from, long to) {
        Integer endpoint = endpointOfDomain.get(domain);
        if (endpoint != null && maps % TOUCHED == 0) {
            steps.add(new Touch(endpoint, from, Access.READ));
            steps.add(new Touch(endpoint, to, Access.WRITE));
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatLinuxHasAskedIsAnsweredAsTheModelSaysAndAsItWas(RingFormat format) throws IOException {
        ring = format;
        lines().forEach(this::read);
        assertThat(requests).isGreaterThan(500);
        assertThat(endpoints).hasSizeGreaterThan(2);
        assertThat(maps).isGreaterThan(200);
        Setup setup =
                new Setup(
                        0x1000,
                        0,
                        -1L,
                        0,
                        -1,
                        true,
                        true,
                        64,
                        1 << 16,
                        VirtioIommuDevice.FEATURES,
                        endpoints);

        StepRunner.Seen seen = StepRunner.run(setup, steps);

        assertThat(seen.requests).isEqualTo(requests);
        assertThat(seen.refused).as("as in the guest").isEqualTo(refused);
        assertThat(seen.restarts).isPositive();
    }
}
