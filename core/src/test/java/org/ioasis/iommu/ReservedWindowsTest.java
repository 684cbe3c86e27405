// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The combination of reserved regions: the table, cutting and merging, both ends of the space. */
class ReservedWindowsTest {
    private static ReservedWindows windows(ReservedRegion... regions) {
        return ReservedWindows.of(List.of(regions));
    }

    private static ReservedRegion region(long first, long last, Kind kind) {
        return new ReservedRegion(first, last, kind);
    }

    private static ReservedWindows of(@Nullable Kind kind) {
        return kind == null ? ReservedWindows.NONE : windows(region(0x10, 0x1f, kind));
    }

    private static @Nullable Kind kind(String letter) {
        return switch (letter) {
            case "R" -> Kind.RESERVED;
            case "M" -> Kind.MSI;
            case "I" -> Kind.IDENTITY;
            default -> null;
        };
    }

    @ParameterizedTest
    @Tag("T6")
    @DisplayName("T6: the table of combinations")
    @CsvSource({
        "N,N,N,false", "N,R,R,false", "N,M,M,false", "N,I,I,true", "R,R,R,false",
        "R,M,R,false", "R,I,I,false", "M,M,M,false", "M,I,I,false", "I,I,I,false"
    })
    void twoKindsCombineByTheTable(String a, String b, String result, boolean exposes) {
        ReservedWindows left = of(kind(a));
        ReservedWindows right = of(kind(b));

        assertThat(left.combine(right).regions()).isEqualTo(of(kind(result)).regions());
        assertThat(right.combine(left).regions()).isEqualTo(of(kind(result)).regions());
        assertThat(left.exposesIdentity(right)).isEqualTo(exposes);
        assertThat(right.exposesIdentity(left)).isEqualTo(exposes);
    }

    @Test
    @Tag("D-57")
    @DisplayName("D-57: what overlaps is cut, so that no two regions do")
    void overlappingRegionsAreCut() {
        assertThat(
                        windows(
                                        region(0x10, 0x2f, Kind.RESERVED),
                                        region(0x20, 0x3f, Kind.MSI),
                                        region(0x28, 0x28, Kind.IDENTITY))
                                .regions())
                .containsExactly(
                        region(0x10, 0x27, Kind.RESERVED),
                        region(0x28, 0x28, Kind.IDENTITY),
                        region(0x29, 0x2f, Kind.RESERVED),
                        region(0x30, 0x3f, Kind.MSI));
    }

    @Test
    void neighboursOfOneKindBecomeOne() {
        assertThat(
                        windows(
                                        region(0x20, 0x2f, Kind.RESERVED),
                                        region(0x10, 0x1f, Kind.RESERVED))
                                .regions())
                .containsExactly(region(0x10, 0x2f, Kind.RESERVED));
    }

    @Test
    @Tag("P-09")
    @DisplayName("P-09: regions at both ends of the address space do not meet")
    void regionsMayLieAtBothEnds() {
        ReservedWindows both =
                windows(region(-0x10L, -1L, Kind.RESERVED), region(0, 0xf, Kind.RESERVED));

        assertThat(both.regions())
                .containsExactly(region(0, 0xf, Kind.RESERVED), region(-0x10L, -1L, Kind.RESERVED));
        assertThat(both.overlaps(0x10, -0x11L)).isFalse();
        assertThat(both.overlaps(0x10, -0x10L)).isTrue();
        assertThat(both.overlaps(0xf, 0xf)).isTrue();
        assertThat(windows(region(0, -1L, Kind.MSI)).combine(both).regions())
                .containsExactly(
                        region(0, 0xf, Kind.RESERVED),
                        region(0x10, -0x11L, Kind.MSI),
                        region(-0x10L, -1L, Kind.RESERVED));
    }

    @Test
    void aRegionThatEndsBeforeItStartsIsNotMade() {
        assertThatThrownBy(() -> region(1, 0, Kind.MSI))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
