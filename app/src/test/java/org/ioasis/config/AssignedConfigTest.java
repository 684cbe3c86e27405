// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.ProgramMachine;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a user writes of the devices of a program: everything that is wrong is told at once. */
class AssignedConfigTest {
    @TempDir Path folder;

    private static void refused(String option, String why) {
        assertThatThrownBy(() -> AssignedConfig.of(List.of(option)))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("--device " + option)
                .hasMessageContaining(why);
    }

    @Test
    void aDeviceHasANameAKindAndWhatTheKindAsksFor() throws Exception {
        Path image = Files.createFile(folder.resolve("disk.img"));
        List<DeviceOptions<?>> devices =
                AssignedConfig.of(
                        List.of("one=blk,file=" + image + ",readonly", "two=rng", "three=rng"));
        assertThat(devices)
                .extracting(device -> device.place().name())
                .containsExactly("one", "two", "three");
        assertThat(devices).extracting(device -> device.place().endpoint()).doesNotHaveDuplicates();
    }

    @Test
    void whatIsWrongIsSaid() {
        refused("blk", "NAME=KIND");
        refused("=blk", "NAME=KIND");
        refused("a b=rng", "NAME=KIND");
        refused("disk=floppy", "no kind \"floppy\"");
        refused("disk=blk", "file=");
        refused("disk=blk,file=/nowhere/at/all", "there is no file");
        refused("random=rng,speed=9", "speed=9");
    }

    @Test
    void nothingIsNoSocket() {
        assertThatThrownBy(() -> AssignedConfig.of(List.of(",file=disk.img")))
                .hasMessageContaining("--device ,file=disk.img: no NAME=KIND")
                .hasMessageNotContaining("socket");
    }

    @Test
    void thereAreAsManyAsABusHasPlacesAndNotOneMore() throws Exception {
        List<String> options =
                IntStream.range(0, ProgramMachine.DEVICES_MAX)
                        .mapToObj(i -> "d" + i + "=rng")
                        .toList();
        assertThat(AssignedConfig.of(options)).hasSize(31);
        List<String> more = new ArrayList<>(options);
        more.add("more=rng");
        assertThatThrownBy(() -> AssignedConfig.of(more))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("32 devices, and there can be 31");
    }

    @Test
    void allThatIsWrongIsSaidAtOnce() {
        assertThatThrownBy(() -> AssignedConfig.of(List.of("a=rng", "a=rng", "b=none")))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("another device is called a")
                .hasMessageContaining("no kind \"none\"");
    }
}
