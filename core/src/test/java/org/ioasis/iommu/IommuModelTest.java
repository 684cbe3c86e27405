// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Random requests, right and wrong, beside a model that is as plain as can be: a map of endpoints
 * to domains, a list of mappings for each domain. Compares every answer, the state after every
 * refusal, and translations. The space is small, so that requests meet.
 */
class IommuModelTest {
    private static final int ENDPOINTS = 4;
    private static final int DOMAINS = 5;
    private static final int DOMAIN_LIMIT = 3;
    private static final int MAPPING_LIMIT = 24;
    private static final int STEPS = 50_000;

    private record Mapped(long first, long last, long output, int flags) {
        boolean touches(long otherFirst, long otherLast) {
            return Long.compareUnsigned(first, otherLast) <= 0
                    && Long.compareUnsigned(otherFirst, last) <= 0;
        }

        boolean isInside(long otherFirst, long otherLast) {
            return Long.compareUnsigned(otherFirst, first) <= 0
                    && Long.compareUnsigned(last, otherLast) <= 0;
        }
    }

    private static final class Space {
        private final boolean isBypass;
        private final List<Mapped> mappings = new ArrayList<>();

        Space(boolean isBypass) {
            this.isBypass = isBypass;
        }
    }

    private final Map<Integer, Integer> attached = new HashMap<>();
    private final Map<Integer, Space> spaces = new HashMap<>();
    private long granule;
    private boolean byEndpoint;

    private int mappingCount() {
        return spaces.values().stream().mapToInt(s -> s.mappings.size()).sum();
    }

    private void leave(int endpoint) {
        Integer old = attached.remove(endpoint);
        if (old != null && !attached.containsValue(old)) {
            spaces.remove(old);
        }
    }

    private Status attach(int endpoint, int domain, boolean bypass) {
        if (endpoint < 1 || endpoint > ENDPOINTS) {
            return Status.NOENT;
        }
        if (domain < 1 || domain > DOMAINS) {
            return Status.RANGE;
        }
        Space space = spaces.get(domain);
        if (space != null && space.isBypass != bypass) {
            return Status.INVAL;
        }
        Integer old = attached.get(endpoint);
        if (space == null) {
            boolean ends =
                    old != null && attached.values().stream().filter(old::equals).count() == 1;
            if (spaces.size() - (ends ? 1 : 0) >= DOMAIN_LIMIT) {
                return Status.NOMEM;
            }
        }
        if (old == null || old != domain) {
            leave(endpoint);
            attached.put(endpoint, domain);
            spaces.putIfAbsent(domain, new Space(bypass));
        }
        return Status.OK;
    }

    private Status detach(int endpoint, int domain) {
        if (endpoint < 1 || endpoint > ENDPOINTS) {
            return Status.NOENT;
        }
        Integer old = attached.get(endpoint);
        if (old == null || (old != domain && !byEndpoint)) {
            return Status.INVAL;
        }
        leave(endpoint);
        return Status.OK;
    }

    private Status map(int domain, long first, long last, long output, int flags) {
        Space space = spaces.get(domain);
        if (space == null) {
            return Status.NOENT;
        }
        if (space.isBypass || Long.compareUnsigned(last, first) < 0) {
            return Status.INVAL;
        }
        if (Long.remainderUnsigned(first, granule) != 0
                || Long.remainderUnsigned(last, granule) != granule - 1
                || Long.remainderUnsigned(output, granule) != 0
                || Long.compareUnsigned(output + (last - first), output) < 0) {
            return Status.RANGE;
        }
        if (space.mappings.stream().anyMatch(x -> x.touches(first, last))) {
            return Status.INVAL;
        }
        if (mappingCount() >= MAPPING_LIMIT) {
            return Status.NOMEM;
        }
        space.mappings.add(new Mapped(first, last, output, flags));
        return Status.OK;
    }

    private Status unmap(int domain, long first, long last) {
        Space space = spaces.get(domain);
        if (space == null) {
            return Status.NOENT;
        }
        if (space.isBypass || Long.compareUnsigned(last, first) < 0) {
            return Status.INVAL;
        }
        if (space.mappings.stream()
                .anyMatch(x -> x.touches(first, last) && !x.isInside(first, last))) {
            return Status.RANGE;
        }
        space.mappings.removeIf(x -> x.isInside(first, last));
        return Status.OK;
    }

    private Outcome access(int endpoint, long iova, Access access) {
        Integer domain = attached.get(endpoint);
        if (domain == null) {
            return Outcome.FAULT;
        }
        Space space = Objects.requireNonNull(spaces.get(domain));
        long gpa = iova;
        if (!space.isBypass) {
            Mapped found = find(space, iova);
            if (found == null || (found.flags & (access == Access.READ ? READ : WRITE)) == 0) {
                return Outcome.FAULT;
            }
            gpa = found.output + (iova - found.first);
        }
        boolean isRam =
                Long.compareUnsigned(gpa, RAM) >= 0
                        && Long.compareUnsigned(gpa, RAM + Machine.RAM_SIZE) < 0;
        return isRam ? Outcome.OK : Outcome.ABSENT;
    }

    private static @Nullable Mapped find(Space space, long iova) {
        for (Mapped x : space.mappings) {
            if (x.touches(iova, iova)) {
                return x;
            }
        }
        return null;
    }

    private long address(SplittableRandom random) {
        long page = random.nextInt(12) * granule;
        return switch (random.nextInt(4)) {
            case 0 -> -12 * granule + page; // up to the last address
            case 1 -> Long.MAX_VALUE / granule * granule + page;
            default -> page;
        };
    }

    @ParameterizedTest
    @CsvSource({
        "1,1,false",
        "2,1,true",
        "3,4096,false",
        "4,4096,true",
        "5,65536,false",
        "6,4096,true"
    })
    @Tag("D-27")
    @DisplayName("D-18, D-21..D-45, P-05, P-09, T1, T3, T5 at random beside a model")
    void answersStateAndTranslationsAreTheModels(long seed, long granule, boolean byEndpoint) {
        this.granule = granule;
        this.byEndpoint = byEndpoint;
        SplittableRandom random = new SplittableRandom(seed);
        Machine m =
                new Machine(
                        Machine.strict()
                                .pageSizeMask(granule)
                                .domainRange(1, DOMAINS)
                                .detachByEndpoint(byEndpoint)
                                .endpointLimit(ENDPOINTS)
                                .domainLimit(DOMAIN_LIMIT)
                                .mappingLimit(MAPPING_LIMIT)
                                .build());
        Dma[] dmas = new Dma[ENDPOINTS + 1];
        for (int i = 1; i <= ENDPOINTS; i++) {
            dmas[i] = m.dma(m.plug(i));
        }
        int refused = 0;
        String state = m.digest();
        for (int step = 0; step < STEPS; step++) {
            int endpoint = random.nextInt(random.nextInt(20) == 0 ? 70_000 : ENDPOINTS + 1);
            int domain = random.nextInt(random.nextInt(20) == 0 ? 70_000 : DOMAINS + 1);
            long first = address(random);
            long last = first + (1 + random.nextInt(4)) * granule - 1;
            switch (random.nextInt(30)) {
                case 0 -> first += random.nextLong(granule);
                case 1 -> last += 1 + random.nextInt(3);
                case 2 -> last = first - 1 - random.nextInt(3);
                case 3 -> {
                    first = 0;
                    last = -1L;
                }
                default -> {}
            }
            long output = RAM / granule * granule + random.nextInt(40) * granule;
            switch (random.nextInt(20)) {
                case 0 -> output = -granule;
                case 1 -> output++;
                case 2 -> output = random.nextLong() / granule * granule;
                default -> {}
            }
            int flags = random.nextInt(8);
            boolean bypass = random.nextInt(8) == 0;
            Status expected;
            Status actual;
            String request;
            switch (random.nextInt(24)) {
                case 0, 20, 21 -> {
                    request = "attach %d %d %s".formatted(endpoint, domain, bypass);
                    expected = attach(endpoint, domain, bypass);
                    actual = m.attach(endpoint, domain, bypass);
                }
                case 1 -> {
                    request = "detach %d %d".formatted(endpoint, domain);
                    expected = detach(endpoint, domain);
                    actual = m.detach(endpoint, domain);
                }
                case 2, 3, 4, 5, 6, 7, 8 -> {
                    request = "map %d %x..%x>%x".formatted(domain, first, last, output);
                    expected = map(domain, first, last, output, flags);
                    actual = m.map(domain, first, last, output, flags);
                }
                case 9, 10, 11, 12 -> {
                    request = "unmap %d %x..%x".formatted(domain, first, last);
                    expected = unmap(domain, first, last);
                    actual = m.unmap(domain, first, last);
                }
                default -> {
                    int who = 1 + random.nextInt(ENDPOINTS);
                    long iova = address(random) + random.nextLong(granule);
                    Access access = random.nextBoolean() ? Access.READ : Access.WRITE;
                    assertThat(m.access(dmas[who], iova, access))
                            .as("seed %d step %d endpoint %d iova %x", seed, step, who, iova)
                            .isEqualTo(access(who, iova, access));
                    continue;
                }
            }
            String at = "seed %d step %d: %s".formatted(seed, step, request);
            assertThat(actual).as(at).isEqualTo(expected);
            assertThat(m.iommu.domainCount()).as(at).isEqualTo(spaces.size());
            assertThat(m.iommu.mappingCount()).as(at).isEqualTo(mappingCount());
            String after = m.digest();
            if (actual != Status.OK) {
                refused++;
                assertThat(after).as(at).isEqualTo(state);
            }
            state = after;
        }
        assertThat(refused).isBetween(STEPS / 10, STEPS * 9 / 10);
    }
}
