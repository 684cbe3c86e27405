// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.ioasis.topology.DeviceTreeBlob.Node;
import org.ioasis.topology.MsiDoorbells.Doorbell;
import org.junit.jupiter.api.Test;

/** Doorbells of trees as QEMU makes them for arm64, and of bytes that are no tree. */
class MsiDoorbellsTest {
    private static Node controller(Node child) {
        return new Node("intc@8000000")
                .texts("compatible", "arm,cortex-a15-gic")
                .cells("#address-cells", 2)
                .cells("#size-cells", 2)
                .cells("reg", 0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000)
                .add(child);
    }

    private static Node root(Node child) {
        return new Node("").cells("#address-cells", 2).cells("#size-cells", 2).add(child);
    }

    private static Node v2m() {
        return new Node("v2m@8020000")
                .cells("reg", 0, 0x802_0000, 0, 0x1000)
                .texts("compatible", "arm,gic-v2m-frame");
    }

    @Test
    void frameOfAGicV2mIsFound() {
        assertThat(MsiDoorbells.of(DeviceTreeBlob.of(root(controller(v2m())))))
                .containsExactly(new Doorbell(0x802_0000L, 0x802_0fffL, 0x802_0040L));
    }

    @Test
    void itsOfAGicV3IsFound() {
        Node its =
                new Node("its@8080000")
                        .texts("compatible", "arm,gic-v3-its")
                        .cells("reg", 0, 0x808_0000, 0, 0x2_0000);

        assertThat(MsiDoorbells.of(DeviceTreeBlob.of(root(controller(its)))))
                .containsExactly(new Doorbell(0x808_0000L, 0x809_ffffL, 0x809_0040L));
    }

    @Test
    void cellsAreThoseOfTheParentAndTwoAndOneWhereItNamesNone() {
        Node small =
                new Node("soc")
                        .cells("#address-cells", 1)
                        .cells("#size-cells", 1)
                        .add(
                                new Node("v2m")
                                        .texts("compatible", "other", "arm,gic-v2m-frame")
                                        .cells("reg", 0xf000_0000, 0x1000, 1, 2));
        assertThat(MsiDoorbells.of(DeviceTreeBlob.of(root(small))))
                .containsExactly(new Doorbell(0xf000_0000L, 0xf000_0fffL, 0xf000_0040L));
        Node silent =
                new Node("")
                        .add(
                                new Node("v2m")
                                        .texts("compatible", "arm,gic-v2m-frame")
                                        .cells("reg", 1, 2, 0x44));
        assertThat(MsiDoorbells.of(DeviceTreeBlob.of(silent)))
                .containsExactly(new Doorbell(0x1_0000_0002L, 0x1_0000_0045L, 0x1_0000_0042L));
    }

    @Test
    void treeWithoutAControllerOfMessagesOrWithRangesThatAreNoneHasNoDoorbell() {
        assertThat(MsiDoorbells.of(DeviceTreeBlob.of(root(new Node("memory"))))).isEmpty();
        for (int[] reg :
                List.of(
                        new int[] {0, 1, 0, 0},
                        new int[] {-1, -1, 0, 0x1000},
                        new int[] {0, 1, 0, 0x43},
                        new int[] {0, 1})) {
            Node frame = new Node("v2m").texts("compatible", "arm,gic-v2m-frame").cells("reg", reg);
            assertThat(MsiDoorbells.of(DeviceTreeBlob.of(root(frame)))).isEmpty();
        }
    }

    @Test
    void nodesTooDeepInEachOtherAreRefused() {
        Node node = v2m();
        for (int i = 0; i < 62; i++) {
            node = new Node("n").cells("#address-cells", 2).cells("#size-cells", 2).add(node);
        }
        assertThat(MsiDoorbells.of(DeviceTreeBlob.of(root(node)))).hasSize(1);
        byte[] deeper = DeviceTreeBlob.of(root(new Node("one").add(node)));
        assertThatThrownBy(() -> MsiDoorbells.of(deeper))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("nodes too deep in each other");
    }

    @Test
    void anyBytesAreReadOrRefusedAndNothingElse() {
        byte[] good = DeviceTreeBlob.of(root(controller(v2m())));
        int refused = 0;
        for (int size = 0; size < good.length; size++) {
            refused += isRefused(Arrays.copyOf(good, size)) ? 1 : 0;
        }
        assertThat(refused).isGreaterThan(good.length / 2);
        Random random = new Random(7);
        refused = 0;
        for (int i = 0; i < 20_000; i++) {
            byte[] bad = good.clone();
            for (int n = random.nextInt(1, 5); n > 0; n--) {
                bad[random.nextInt(bad.length)] = (byte) random.nextInt();
            }
            refused += isRefused(bad) ? 1 : 0;
        }
        assertThat(refused).isBetween(1_000, 19_000);
    }

    private static boolean isRefused(byte[] bytes) {
        try {
            assertThat(MsiDoorbells.of(bytes)).hasSizeLessThan(10);
            return false;
        } catch (IllegalArgumentException e) {
            return true;
        }
    }
}
